"""The signals by which a program is asked to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ENDING = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2")
    if hasattr(signal, name)
)
"""Ctrl-C, `kill`, a closed terminal, and what job schedulers are told to send, where there are such."""


def is_ignored(number: signal.Signals) -> bool:
    """Whether whoever started this process wants the signal ignored, as `nohup` does."""
    return signal.getsignal(number) is signal.SIG_IGN


@contextmanager
def uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not end the giving back that the first one began."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.signal(s, signal.SIG_IGN) for s in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
