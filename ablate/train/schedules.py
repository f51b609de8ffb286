"""Learning-rate schedules: pure functions of what has happened so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ablate.errors import unknown

Schedule = Callable[[int, int, Sequence[float]], float]
"""(epochs done, epochs in all, the losses watched after each epoch) → factor on the learning rate."""


def constant(_done: int, _epochs: int, _losses: Sequence[float]) -> float:
    """The learning rate as it is."""
    return 1.0


def cosine(done: int, epochs: int, _losses: Sequence[float]) -> float:
    """Half a cosine from 1 towards 0 (Loshchilov and Hutter 2017, arXiv 1608.03983), by epochs."""
    return 0.5 * (1 + math.cos(math.pi * done / epochs))


def plateau(
    _done: int,
    _epochs: int,
    losses: Sequence[float],
    *,
    factor: float = 0.5,
    patience: int = 3,
    threshold: float = 1e-4,
) -> float:
    """Half of it each time the loss has not improved for more than `patience` epochs.

    The same decisions as `torch.optim.lr_scheduler.ReduceLROnPlateau` with these settings.
    """
    best, bad, result = math.inf, 0, 1.0
    for loss in losses:
        if loss < best * (1 - threshold):
            best, bad = loss, 0
        else:
            bad += 1
        if bad > patience:
            result, bad = result * factor, 0
    return result


SCHEDULES: dict[str, Schedule] = {"constant": constant, "cosine": cosine, "plateau": plateau}


def find_schedule(name: str) -> Schedule:
    """The schedule of that name.

    Raises:
        UnknownNameError: no such schedule.
    """
    if name not in SCHEDULES:
        raise unknown("schedule", name, SCHEDULES)
    return SCHEDULES[name]
