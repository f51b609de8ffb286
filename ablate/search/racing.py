"""When a trial stops before all its seeds: it is clearly worse than one that has them all.

The rule, for accuracies that share seeds: with J finished trials, S seeds and the spread s within
seeds (two-way residuals: accuracy minus the trial's mean minus the seed's mean, df = (J−1)(S−1)), a
trial whose mean over its first k seeds lies below that of rival j over the same seeds by more than

    t(1 − α / (J · (S − 1)), df) · s · √(2 / k)

stops. A trial that is no worse than any rival is stopped so with a probability of at most α over all
its rivals and looks together (union bound; normal, equal spreads). α is 0.05, as for verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ablate.search import judge
from ablate.stats import t_quantile
from ablate.study.search import Search

Ended = tuple[Sequence[float], Sequence[float]]
"""The search's metric by seed, and objectives, of a trial that had all its seeds."""

ALPHA = 0.05
FEWEST_DEGREES = 4
"""With less to estimate the spread from nothing is stopped."""


def spread(finished: Sequence[Sequence[float]]) -> tuple[float, int]:
    """The spread of one run around trial and seed, and its degrees of freedom.

    Shape: J trials × S seeds.
    """
    table = np.asarray(finished, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 2:
        return math.nan, 0
    residuals = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    degrees = (table.shape[0] - 1) * (table.shape[1] - 1)
    return math.sqrt(float((residuals**2).sum()) / degrees), degrees


def clearly_worse(
    own: Sequence[float],
    finished: Sequence[Sequence[float]],
    rivals: Sequence[Sequence[float]] | None = None,
    alpha: float = ALPHA,
) -> bool:
    """Whether a trial with these accuracies, of its first seeds, should stop.

    `finished` are the accuracies of all finished trials over all seeds: they tell the spread.
    `rivals` are those of them that it is compared with; all of them unless given.
    """
    against = finished if rivals is None else rivals
    sigma, degrees = spread(finished)
    if degrees < FEWEST_DEGREES or not against or not own:
        return False
    seeds, looks = len(own), len(finished[0]) - 1
    if seeds > looks:
        return False
    critical = t_quantile(1 - alpha / (len(against) * looks), degrees)
    allowed = critical * sigma * math.sqrt(2 / seeds)
    mean = float(np.mean(own))
    return any(mean < float(np.mean(rival[:seeds])) - allowed for rival in against)


def is_out_of_the_race(
    search: Search, qualities: Sequence[float], costs: judge.Costs, finished: Sequence[Ended]
) -> bool:
    """Whether a trial with these values so far stops before its last seed. Rivals are those of the finished
    ones that are at least as good in everything else.
    """
    if len(qualities) == search.seeds:
        return False
    own = judge.values(search, qualities, costs)
    whole = [each for each in finished if len(each[0]) == search.seeds]
    rivals = [each for each in whole if judge.no_worse_in_costs(search, each[1], own)]

    def signed(values: Sequence[float]) -> list[float]:
        """So that more is better."""
        return [search.sign * each for each in values]

    return clearly_worse(
        signed(qualities),
        [signed(each) for each, _ in whole],
        [signed(each) for each, _ in rivals],
    )
