"""Variances of few seeds, made steadier by what the other arms say (limma; Smyth, SAGMB 2004).

An arm is a variant or the baseline. With three seeds its own variance is worth little; the
variances of all arms together say how large it is likely to be and how much they differ.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

MOST_PRIOR_DOF = 20.0
FLOOR = 0.1
"""No arm's variance is taken for less than this share of the arms' mean."""

Floats = NDArray[np.float64]


def residuals(values: Floats) -> Floats:
    """What is left of (arms, seeds, …) after arm and seed have their mean: seeds as blocks."""
    by_arm, by_seed = values.mean(1, keepdims=True), values.mean(0, keepdims=True)
    left: Floats = values - by_arm - by_seed + values.mean((0, 1), keepdims=True)
    return left


def grubbs(squares: Floats, seeds: int) -> Floats:
    """The variance of each arm from its sum of squared two-way residuals (Grubbs, JASA 1948).

    Unbiased where the arms' variances differ. Two arms cannot be told apart: both get half of what
    their difference varies by.
    """
    arms, total = len(squares), squares.sum()
    if arms == 2:
        return np.full(2, total / (seeds - 1))
    estimates: Floats = (arms * (arms - 1) * squares - total) / (
        (seeds - 1) * (arms - 1) * (arms - 2)
    )
    return estimates


def floored(variances: Floats, grain: float) -> Floats:
    """At least a tenth of their mean, which an estimate may fall below, and what rounding adds."""
    return np.maximum(variances, FLOOR * max(float(variances.mean()), 0.0)) + grain


def prior_dof(ratios: Floats, dof: Floats) -> float:
    """How many degrees of freedom the arms' common variance is worth for each of them, at most 20.

    By moments of the logarithm: what the arms differ by beyond what χ² with `dof` makes them differ.
    """
    logs = np.log(ratios) - special.digamma(dof / 2) + np.log(dof / 2)
    beyond = float(logs.var(ddof=1) - special.polygamma(1, dof / 2).mean())
    return min(MOST_PRIOR_DOF, 2 * _trigamma_inverse(beyond)) if beyond > 0 else MOST_PRIOR_DOF


def moderated(own: Floats, dof: Floats, common: float, prior: float) -> Floats:
    """Each arm's own value drawn towards the common one, by their degrees of freedom."""
    drawn: Floats = (prior * common + dof * own) / (prior + dof)
    return drawn


def f_quantile(probability: float, dof: float, dof_below: float) -> float:
    """Below it F with these degrees of freedom is with this probability."""
    return float(special.fdtri(dof, dof_below, probability))


def _trigamma_inverse(value: float) -> float:
    """By Newton's method on 1 / trigamma, which is nearly linear (Smyth 2004, appendix)."""
    found = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(special.polygamma(1, found))
        step = trigamma * (1 - trigamma / value) / float(special.polygamma(2, found))
        found += step
        if abs(step) < 1e-8 * found:
            break
    return found
