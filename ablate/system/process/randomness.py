"""The generators that everything in a process shares: torch's, numpy's and Python's own.

Our own code draws from generators of its own. These are for networks, which draw from whatever their
authors chose, while they are built and in every forward.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

NUMPY_SEEDS = 2**32


def seed_all(seed: int) -> None:
    """Begin a stream in each of them; on the device only torch's generator of the CPU. 5 µs."""
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % NUMPY_SEEDS)
    random.seed(seed)


@contextmanager
def restored() -> Iterator[None]:
    """Whatever is drawn or seeded within, they go on afterwards as if nothing had been."""
    before = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        np.random.set_state(before[0])
        random.setstate(before[1])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """All of them seeded for a moment: networks initialise themselves from them."""
    with restored():
        torch.manual_seed(seed)
        seed_all(seed)
        yield


class HostDraws:
    """Notices whether something draws on the host, where a graph of the device's work cannot repeat it."""

    def __init__(self, device: torch.device) -> None:
        self._on_cpu = device.type == "cpu"
        self._before = self._states()

    def seen(self) -> str | None:
        """From what has been drawn since then, None for nothing."""
        names = ("Python's random", "numpy.random", "torch's generator of the CPU")
        pairs = zip(names, self._before, self._states(), strict=True)
        return next((name for name, before, now in pairs if before != now), None)

    def _states(self) -> tuple[object, ...]:
        numpys: Any = np.random.get_state()
        # On a CPU that is the device's own generator, from which dropout draws.
        torchs = b"" if self._on_cpu else torch.get_rng_state().numpy().tobytes()
        return random.getstate(), (numpys[1].tobytes(), *numpys[2:]), torchs
