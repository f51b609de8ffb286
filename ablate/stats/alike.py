"""What arms do alike at a seed: how much a mean over several of them varies by seeds, as it is seen to.

Variants of one backbone share initialisation, batches and drawn images at a seed. Taken for independent,
what they vary by would shrink with the number of variants, which it does not.
"""

from __future__ import annotations

import math

import numpy as np

from ablate.stats.anchored import FEWEST_DOF, PRIOR_DOF
from ablate.stats.arms import Arms
from ablate.stats.moderate import Floats

PRIOR_CORRELATION = 1 / 3
"""By seed, of arms on one side of a contrast, where few degrees of freedom tell it: 0.3 to 0.75 was
measured where seeds draw the training images, 0 where they do not."""
LEAST = 1e-9
"""Directions below this part of the largest are what rounding left."""


def times_by_seed(arms: Arms, weights: Floats) -> tuple[Floats, Floats]:
    """How many times as much each contrast varies by seeds as if arms were independent, at least once, and
    to how many degrees of freedom that is known.

    Of seeds as blocks it is one figure for all contrasts, by the few directions that they span. Otherwise
    each has its own, for it hangs on whose seeds are missing. A difference of single arms is left as it is:
    what these do alike can only lessen it.

    Shape: weights (contrasts, arms); the results (contrasts,).
    """
    by_seed = arms.by_seed
    several = ((weights > 0).sum(1) > 1) | ((weights < 0).sum(1) > 1)
    if by_seed is None or not several.any():
        return np.ones(len(weights)), np.full(len(weights), math.inf)
    prior = _prior(arms, weights)
    if arms.blocks:
        found, dof = _of_all(arms, by_seed, weights)
        prior = np.full(len(weights), prior[several].mean())
        worth = PRIOR_DOF if dof[0] < FEWEST_DOF else 0.0
    else:
        found, dof = _of_each(arms, by_seed, weights)
        worth = PRIOR_DOF
    found = (worth * prior + dof * found) / (worth + dof)
    more = several & (found > 1)
    return np.where(more, found, 1.0), np.where(more, dof + worth, math.inf)


def _prior(arms: Arms, weights: Floats) -> Floats:
    """What `PRIOR_CORRELATION` on either side of a contrast makes of it."""
    scaled = weights * np.sqrt(arms.variances / arms.runs)
    alike = np.maximum(scaled, 0).sum(1) ** 2 + np.minimum(scaled, 0).sum(1) ** 2
    found: Floats = 1 + PRIOR_CORRELATION * (alike / (scaled**2).sum(1) - 1)
    return found


def _of_all(arms: Arms, by_seed: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """The mean over the directions that the contrasts span, in units of independent arms."""
    unit = np.sqrt(arms.variances / arms.runs)
    _, sizes, directions = np.linalg.svd(weights * unit, full_matrices=False)
    directions = directions[sizes > LEAST * sizes[0]]
    found = ((directions / unit) @ _deviations(arms, by_seed)) ** 2
    dof = (arms.runs[0] - 1) * len(directions)
    same = np.ones(len(weights))
    return same * found.sum() / len(directions), same * dof


def _of_each(arms: Arms, by_seed: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """The sum of squares over seeds. It is known as well as its seeds weigh alike."""
    squares = weights**2 * arms.variances / arms.runs
    found = ((weights @ _deviations(arms, by_seed)) ** 2).sum(1) / squares.sum(1)
    at_seed = (squares / arms.runs) @ np.isfinite(by_seed)
    dof = at_seed.sum(1) ** 2 / (at_seed**2).sum(1) - 1
    return found, np.maximum(dof, 1.0)


def _deviations(arms: Arms, by_seed: Floats) -> Floats:
    """What each run adds to the mean of its arm, 0 where there is none. Its squares sum to the variance of
    the mean, without bias where arms are independent. Shape: (arms, seeds).
    """
    left = by_seed - arms.means[:, None]
    found: Floats = np.nan_to_num(left) / np.sqrt(arms.runs * (arms.runs - 1))[:, None]
    return found
