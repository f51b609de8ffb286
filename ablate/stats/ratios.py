"""How many times as fast as the baseline: over processes, with what may be said about it. No torch.

What a process keeps (where its memory lies, its threads) moves all its rounds alike, so rounds of one
process say nothing about the next one: each process gives one number, the mean logarithm of its rounds'
ratios, and the interval is Student's t over these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ablate.stats.family import bonferroni, smallest_detectable
from ablate.stats.intervals import interval, normal_to_t, t_quantile

FEWEST_PROCESSES = 3
"""With fewer a ratio has no interval."""
MARGIN = 1.02
"""Speeds that lie within this factor of one another are as good as equal."""

SpeedVerdict = Literal["faster", "slower", "as fast", "undecided"]


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast as the baseline, with a 95 % interval where there is one.

    `processes` is what the interval is over; without, it is over the rounds of one process, and no
    verdict follows. `detectable` is the smallest ratio above 1 that could have been seen.
    """

    ratio: float
    low: float | None = None
    high: float | None = None
    processes: int | None = None
    detectable: float | None = None

    @property
    def verdict(self) -> SpeedVerdict | None:
        """Read off the interval: beyond 1, within the margin around 1, or neither."""
        if self.low is None or self.high is None or (self.processes or 0) < FEWEST_PROCESSES:
            return None
        if self.low > 1 or self.high < 1:
            return "faster" if self.low > 1 else "slower"
        return "as fast" if self.low > 1 / MARGIN and self.high < MARGIN else "undecided"


def middle_over(processes: Sequence[Sequence[float]]) -> float:
    """The geometric mean over processes of the geometric means of their rounds.

    So that a ratio over the same rounds is the quotient of two of these, to the last digit: speeds and
    ratios are one estimator.
    """
    return math.exp(_mean([_mean([math.log(value) for value in rounds]) for rounds in processes]))


def ratio_over(processes: Sequence[Sequence[float]]) -> Ratio:
    """The geometric mean over processes, from the ratios in the rounds of each; Student's t on the
    logarithm, without an interval if there are fewer than three.
    """
    found = interval([_mean([math.log(ratio) for ratio in rounds]) for rounds in processes])
    if found.n < FEWEST_PROCESSES or found.low is None or found.high is None:
        return Ratio(math.exp(found.mean), processes=found.n)
    low, high = math.exp(found.low), math.exp(found.high)
    return Ratio(math.exp(found.mean), low, high, found.n)


def in_family(ratio: Ratio, family: int = 1) -> Ratio:
    """The same ratio as one of `family` that are looked at together, from its own 95 % interval.

    All intervals of the family hold at once in 95 % of measurements, by Bonferroni; verdict and smallest
    detectable ratio are those of this interval. What was measured in one process stays as it is.
    """
    if ratio.low is None or ratio.high is None or (ratio.processes or 0) < FEWEST_PROCESSES:
        return ratio
    dof = (ratio.processes or 0) - 1
    middle = math.log(ratio.low * ratio.high) / 2
    error = math.log(ratio.high / ratio.low) / 2 / t_quantile(0.975, dof)
    critical = bonferroni(family)
    half = normal_to_t(critical, dof) * error
    return replace(
        ratio,
        low=math.exp(middle - half),
        high=math.exp(middle + half),
        detectable=math.exp(smallest_detectable(error, dof, critical)),
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
