"""How far out a difference must be when several variants share one baseline, and one interval each.

Dunnett's constant in normal units (Dunnett, JASA 1955): its chance of any false "better" or "worse"
among k variants is 5 %. Turned into Student's t by `normal_to_t`, so that each variant may have
degrees of freedom of its own.
"""

from __future__ import annotations

import math
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ablate.stats.intervals import normal_to_t
from ablate.stats.root import find_root

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
POWER = 0.8
Z_OF_POWER = 0.8416
"""How many standard errors beyond the constant a difference lies that is found so, if these are known."""
SHARED = 0.5
"""The correlation of two differences that share a baseline with as many runs as they have."""

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(101)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


@lru_cache(maxsize=1024)
def dunnett(variants: int, correlation: float = SHARED) -> float:
    """The constant of a family of `variants` differences to one baseline, in normal units.

    `correlation` is that of two differences (`correlation_of`).
    """
    return find_root(lambda c: together(c, variants, correlation) - CONFIDENCE, 0.5, 12.0)


def correlation_of(n: int, n_baseline: int) -> float:
    """The correlation to take two differences for, of n runs each, to one baseline.

    That of seeds is n / (n + n₀), but images correlate by a half however few runs the baseline has, and
    may be nearly all of the variance: never more than this half.
    """
    return min(SHARED, n / (n + n_baseline))


def together(c: float, variants: int, correlation: float = SHARED) -> float:
    """The probability that none of the differences is further than `c` standard errors out."""
    own, common = math.sqrt(1 - correlation), math.sqrt(correlation) * _NODES
    inside = special.ndtr((c + common) / own) - special.ndtr((-c + common) / own)
    return float(_WEIGHTS @ inside**variants)


def bonferroni(intervals: int) -> float:
    """The constant of intervals of any kind, in normal units: each gives up its share of 5 %."""
    return float(special.ndtri(1 - (1 - CONFIDENCE) / (2 * intervals)))


@lru_cache(maxsize=1024)
def anytime(variants: int, n: int) -> float:
    """The constant after n seeds that holds at every look at once, however many there are.

    The mixture boundary of a normal martingale (Robbins 1970; Howard et al., Annals of Statistics
    2021) with its scale set for about ten seeds, Bonferroni over the family.
    """
    a = (1 - CONFIDENCE) / variants
    x = -2 * math.log(a)
    scale = 10 / (x + math.log(1 + x))
    return math.sqrt((1 + scale / n) * math.log((n + scale) / (scale * a * a)))


def smallest_detectable(error: float, dof: float, critical: float) -> float:
    """The difference that is found with 80 % power at this standard error.

    It is δ · error where P(Z + δ > t · √(χ²_dof / dof)) = 0.8 and t is `critical` (normal units) as
    Student's t: the power of the noncentral t. The mean over 1,000 quantiles of χ² stands for the
    integral; SciPy's `nct` loses precision where dof is near 1. The standard error is taken as
    known, so with few seeds the result is itself uncertain.
    """
    threshold = _thresholds(dof, critical)
    missing = partial(_missing_power, threshold)
    return error * find_root(missing, 0.0, float(threshold.max()) + 10.0)


def detects(difference: float, error: float, dof: float, critical: float) -> bool:
    """Whether a difference above 0 is found with 80 % power: `smallest_detectable` is at most as large."""
    return not error or _missing_power(_thresholds(dof, critical), difference / error) >= 0


def _thresholds(dof: float, critical: float) -> Floats:
    quantiles = special.chdtri(dof, 1 - (np.arange(1000) + 0.5) / 1000)
    found: Floats = normal_to_t(critical, dof) * np.sqrt(quantiles / dof)
    return found


def _missing_power(threshold: Floats, delta: float) -> float:
    return float(special.ndtr(delta - threshold).mean()) - POWER
