"""Effect: one variant against the baseline, and the verdict that is read off its one interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from ablate.stats.anchored import Spread
from ablate.stats.family import Z_OF_POWER, detects
from ablate.stats.intervals import normal_to_t
from ablate.stats.plain import FEWEST_SEEDS

DEFAULT_MARGIN = 0.005
"""Half a point of accuracy: what is taken for equivalent where a study declares nothing."""
MOST_SEEDS = 100_000
FEWEST_AT_A_LOOK = 3
"""Seeds that variant and baseline share before a look can decide anything."""


class Verdict(StrEnum):
    """What may be said of a variant; `docs/verdicts.md` has each on its page."""

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent"
    IDENTICAL = "identical"
    UNDECIDED = "undecided"


TURNED = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}
"""What is said of the baseline instead; the others say the same of both."""


class Rule(StrEnum):
    """How an interval came about; `ablate.stats.words` says it in words."""

    BLOCKS = "blocks"
    """Image by image, the seeds that variant and baseline share as blocks."""
    UNPAIRED = "unpaired"
    """Image by image, the seeds of either for themselves."""
    ANYTIME = "anytime"
    """As blocks, with intervals that hold at every look."""
    SCORES = "scores"
    """From scores alone."""
    BOOTSTRAP = "bootstrap"
    """A metric that is no mean over images: those are drawn again."""
    MCNEMAR = "mcnemar"
    """A single run of each: about these two trained networks only."""
    SEARCHED = "searched"
    """Its only seeds are those that a search chose by."""
    NOTHING = "nothing"
    """There is nothing to judge by."""


class Withheld(StrEnum):
    """Why nothing is read off an interval that is there; `ablate.stats.words` says it in words."""

    FEW_SEEDS = "few_seeds"
    """By scores alone, with fewer than `FEWEST_SEEDS` of either."""
    FEW_SHARED = "few_shared"
    """At a look, with fewer than `FEWEST_AT_A_LOOK` seeds that both have."""
    NO_LOOKS = "no_looks"
    """Seeds were added until something was decided, and by this rule no interval holds at every look."""


FEWEST = {Rule.SCORES: FEWEST_SEEDS, Rule.ANYTIME: FEWEST_AT_A_LOOK}
"""Seeds of each before a rule brings a verdict; the others do from two on."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One variant against the baseline, in the unit of the scores (accuracy: 0.01 is a point).

    `low` and `high` are the simultaneous 95 % interval over all variants of the study: all intervals
    together contain their true differences in 95 % of studies. `verdict` is read off it and nothing
    else, with `margin` for "equivalent". `n` and `n_baseline` are the runs that the difference
    rests on. None stands where these runs cannot tell.

    `smallest_detectable` is never above `room`, the largest difference that the metric can have;
    where it equals it, nothing could have been seen. Where a verdict is `withheld` there is none, and no
    verdict whatever the interval is. `p` is McNemar's, of two single runs.
    """

    variant: str
    baseline: str
    n: int
    n_baseline: int
    difference: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    rule: Rule
    margin: float
    smallest_detectable: float | None = None
    room: float = 1.0
    p: float | None = None
    p_adjusted: float | None = None
    critical: float | None = None
    spread: Spread | None = None
    withheld: Withheld | None = None

    @property
    def decided(self) -> bool:
        """Whether anything but "undecided" could be said."""
        return self.verdict is not Verdict.UNDECIDED

    @property
    def here(self) -> tuple[float, float] | None:
        """The interval about these very test images and new seeds, simultaneous as well."""
        if self.spread is None or self.critical is None or self.difference is None:
            return None
        half = normal_to_t(self.critical, self.spread.here_dof) * self.spread.here_error
        return self.difference - half, self.difference + half

    def seeds_for(self, difference: float) -> int | None:
        """How many seeds of variant and baseline see such a difference in 80 % of studies.

        None where no number does, because the test images are too few or no interval holds at every look,
        or where nothing is known.
        """
        if self.spread is None or self.critical is None or self.withheld is Withheld.NO_LOOKS:
            return None
        fewer = max(min(self.n, self.n_baseline), 2)
        needed = seeds_needed(difference, self.spread, fewer, self.critical)
        return None if needed is None else max(needed, FEWEST.get(self.rule, 2))

    @property
    def turned(self) -> Effect:
        """The same comparison told of the baseline against the variant."""
        low = None if self.high is None else -self.high
        high = None if self.low is None else -self.low
        return replace(
            self,
            variant=self.baseline,
            baseline=self.variant,
            n=self.n_baseline,
            n_baseline=self.n,
            difference=None if self.difference is None else -self.difference,
            low=low,
            high=high,
            verdict=TURNED.get(self.verdict, self.verdict),
        )

    def withholding(self, why: Withheld) -> Effect:
        """The same without a verdict: what could have been seen is not known then either."""
        return replace(self, verdict=Verdict.UNDECIDED, smallest_detectable=None, withheld=why)


def room(mean: float | None, bounds: tuple[float, float] = (0.0, 1.0)) -> float:
    """The largest difference to this mean that a score within the bounds can have."""
    low, high = bounds
    return max(mean - low, high - mean) if mean is not None and low <= mean <= high else math.inf


def judge(low: float | None, high: float | None, margin: float) -> Verdict:
    """The verdict of an interval: a difference that is found goes before equivalence."""
    if low is None or high is None:
        return Verdict.UNDECIDED
    if low > 0:
        return Verdict.BETTER
    if high < 0:
        return Verdict.WORSE
    return Verdict.EQUIVALENT if -margin < low and high < margin else Verdict.UNDECIDED


def seeds_needed(difference: float, spread: Spread, n: int, critical: float) -> int | None:
    """The least number of seeds whose smallest detectable effect is at most this difference.

    Degrees of freedom grow with the seeds as they did from `n`.
    """

    def seen(seeds: int) -> bool:
        lasting = spread.image_variance + spread.fold_variance
        error = (lasting + spread.seed_variance / seeds) ** 0.5
        dof = max(1.0, spread.dof * max(seeds - 1, 0.5) / (n - 1))
        return detects(abs(difference), error, dof, critical)

    # As many as would do if the standard error were known: the number itself is near.
    lasting = spread.image_variance + spread.fold_variance
    left = (difference / (critical + Z_OF_POWER)) ** 2 - lasting
    near = spread.seed_variance / left if left > 0 else math.inf
    return least(seen, 2, MOST_SEEDS, near=round(min(near, MOST_SEEDS)))


def least(true: Callable[[int], bool], low: int, high: int, near: int | None = None) -> int | None:
    """The smallest number from `low` on for which a monotone condition holds; None up to `high`. With `near`
    it is looked for around that first: to ask is long.
    """
    if near is not None:
        found = _bounds(true, low, high, min(max(near, low), high))
        if found is None:
            return None
        low, high = found
    elif not true(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if true(middle) else (middle + 1, high)
    return low


def _bounds(true: Callable[[int], bool], low: int, high: int, at: int) -> tuple[int, int] | None:
    """Between which the smallest number lies, by steps from `at` that double; None where there is none."""
    step = max(1, at // 16)
    if true(at):
        while at > low:
            below, step = max(low, at - step), 2 * step
            if not true(below):
                return below + 1, at
            at = below
        return low, at
    while at < high:
        above, step = min(high, at + step), 2 * step
        if true(above):
            return at + 1, above
        at = above
    return None
