"""One sample: its mean with Student's t interval, and the quantiles everything else is made of.

By SciPy's special functions: `scipy.stats` has the same, and takes a second to load.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from ablate.errors import OptionError


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its Student t interval; `low`, `high` and `sd` are None for a single value."""

    mean: float
    low: float | None
    high: float | None
    sd: float | None
    n: int

    @property
    def half_width(self) -> float | None:
        """Half the length of the interval: the number behind the ±."""
        return None if self.high is None else self.high - self.mean


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The mean of `values` with its Student t interval.

    The bootstrap is not used: at n = 3 its 95 % interval covers 70 %, Student's t covers 95 %.

    Raises:
        OptionError: no value, a value that is not finite, or a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise OptionError(f"a confidence lies between 0 and 1, not {confidence}: write 0.95")
    if not values:
        raise OptionError("an interval needs at least one value, got none: leave the variant out")
    array = finite(values)
    mean = float(array.mean())
    if len(array) < 2:
        return Interval(mean, None, None, None, 1)
    # Rounding in the mean would give equal values a spread near 1e-17.
    sd = 0.0 if np.ptp(array) == 0 else float(array.std(ddof=1))
    half = t_quantile((1 + confidence) / 2, len(array) - 1) * sd / math.sqrt(len(array))
    return Interval(mean, mean - half, mean + half, sd, len(array))


def t_quantile(probability: float, dof: float) -> float:
    """Below it Student's t with `dof` degrees of freedom is with this probability."""
    return float(special.stdtrit(dof, probability))


def t_tail(value: float, dof: float) -> float:
    """How probable it is that Student's t is above this value."""
    return float(special.stdtr(dof, -value))


def normal_to_t(value: float, dof: float) -> float:
    """The value above which t with `dof` degrees of freedom is as often as a normal is above `value`.

    By the lower tail, which keeps its digits where the upper one rounds to 1.
    """
    beyond = float(special.ndtr(-value))
    return -float(special.stdtrit(dof, beyond))


def t_to_normal(value: float, dof: float) -> float:
    """The inverse of `normal_to_t`."""
    beyond = float(special.stdtr(dof, -value))
    return -float(special.ndtri(beyond))


def seed_correlation(pairs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> float | None:
    """The correlation by seed, pooled over (variant, baseline) pairs of the same seeds.

    Each pair is centred on its own means first. None without any spread. It says what seeds as
    blocks bring; near 0 they bring nothing, and cost nothing.
    """
    both = [(np.subtract(a, np.mean(a)), np.subtract(b, np.mean(b))) for a, b in pairs if len(a)]
    cross = sum(float(a @ b) for a, b in both)
    spread = math.sqrt(sum(float(a @ a) for a, _ in both) * sum(float(b @ b) for _, b in both))
    return cross / spread if spread > 0 else None


def finite(values: Sequence[float]) -> np.ndarray:
    """The values as an array.

    Raises:
        OptionError: one of them is not a finite number.
    """
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise OptionError(f"accuracies are finite, got {array.tolist()}: count the run as failed")
    return array
