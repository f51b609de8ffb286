"""Learning-rate schedules: pure functions of the training's progress and of the losses so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ablate.errors import unknown
from ablate.study import Recipe

Schedule = Callable[[float, Sequence[float]], float]
"""(progress in [0, 1), the losses watched after each epoch) → factor on the learning rate.

Progress is the share of all steps that are done; it is asked before every step.
"""


def constant(_progress: float, _losses: Sequence[float]) -> float:
    """The learning rate as it is."""
    return 1.0


def cosine(progress: float, _losses: Sequence[float]) -> float:
    """Half a cosine from 1 towards 0 (Loshchilov and Hutter 2017, arXiv 1608.03983, equation 5)."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def step(progress: float, _losses: Sequence[float]) -> float:
    """A tenth of it after half of the training, a hundredth after three quarters.

    Source: He et al. 2015, arXiv 1512.03385, section 4.2 (32,000 and 48,000 of 64,000 steps).
    """
    return 0.1 ** (int(progress >= 0.5) + int(progress >= 0.75))


def one_cycle(progress: float, _losses: Sequence[float]) -> float:
    """Half a cosine up from 1/25 during the first 30 %, then one down to 1/250,000.

    Source: Smith and Topin 2018, arXiv 1708.07120, with the shape and the settings of
    `torch.optim.lr_scheduler.OneCycleLR`; its cycle of the momentum is left out.
    """
    first, peak, last, rise = 1 / 25, 1.0, 1 / 250_000, 0.3
    if progress < rise:
        return _half_cosine(first, peak, progress / rise)
    return _half_cosine(peak, last, (progress - rise) / (1 - rise))


def plateau(
    _progress: float,
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


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "cosine": cosine,
    "step": step,
    "one_cycle": one_cycle,
    "plateau": plateau,
}


def with_warmup(
    schedule: Schedule, recipe: Recipe, steps: int
) -> Callable[[int, Sequence[float]], float]:
    """The factor of each step of a run, counted from 0, of which an epoch has `steps`: in the first
    `warmup_epochs` a line up to 1, then the schedule over the rest (Goyal et al. 2017, arXiv:1706.02677).
    """
    first, all_steps = round(recipe.warmup_epochs * steps), steps * recipe.epochs

    def factor(step: int, losses: Sequence[float]) -> float:
        if step < first:
            return (step + 1) / first
        return schedule((step - first) / (all_steps - first), losses)

    return factor


BETWEEN_EPOCHS = frozenset({constant, plateau})
"""Those that change between epochs only: they look at the losses, not at the progress."""


def find_schedule(name: str) -> Schedule:
    """The schedule of that name.

    Raises:
        UnknownNameError: no such schedule.
    """
    if name not in SCHEDULES:
        raise unknown("schedule", name, SCHEDULES)
    return SCHEDULES[name]


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))
