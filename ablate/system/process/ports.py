"""A port of this machine alone, for the pages that we serve."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ablate.errors import OptionError

HOST = "127.0.0.1"
PORTS_TRIED = 100

Served = TypeVar("Served")


def on_a_free_port(first: int, serve: Callable[[int], Served]) -> Served:
    """What `serve` returns on the first port, or on the next one on which it does not raise OSError.

    Raises:
        OptionError: no port is free.
    """
    last = min(first + PORTS_TRIED, 65536) - 1
    for port in range(first, last + 1):
        try:
            return serve(port)
        except OSError:
            continue
    raise OptionError(f"--port {first}: no port from {first} to {last} is free; give another one")
