"""The best trials once more, with seeds that no search has looked at.

The best of many is lucky as well as good: its mean over the seeds it was picked by is too high. Fresh
seeds of the same variants take that luck away, whatever they were picked from. Their validation accuracy
keeps the luck of the validation images, which are the same ones. So the verdict is not made here: it is
that of the test images, by these seeds alone (`ablate.stats.fresh`), where no search can see it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ablate.search import judge
from ablate.stats import Interval, interval
from ablate.store.writing.trials import TrialRow
from ablate.study.search import FRESH_SEEDS, Search

Finished = Mapping[int, tuple[tuple[float, ...], tuple[float, ...]]]
"""The search's metric by seed, and objectives, of each trial that had all its seeds, by number."""


@dataclass(frozen=True)
class Confirmed:
    """A candidate under fresh seeds, by the search's metric: its mean in the search, and by fresh seeds."""

    variant: str
    fingerprint: str
    searched: float
    fresh: Interval


def fresh_seeds(search: Search) -> range:
    """The seeds of confirmation."""
    return range(FRESH_SEEDS + 1, FRESH_SEEDS + 1 + search.confirm_seeds)


def distinct(rows: Sequence[TrialRow], finished: Finished) -> list[int]:
    """The first finished trial of each network, in the order of asking."""
    asked, first = by_number(rows), dict[str, int]()
    for number in sorted(finished):
        first.setdefault(asked[number].fingerprint, number)
    return list(first.values())


def by_number(rows: Iterable[TrialRow]) -> dict[int, TrialRow]:
    """Trials by their number, which is no place in a list: a database may lack some."""
    return {row.number: row for row in rows}


def candidates(search: Search, rows: Sequence[TrialRow], finished: Finished) -> list[int]:
    """The trials to confirm: the Pareto front first, and within it and behind it the best."""
    numbers = distinct(rows, finished)
    best = {numbers[i] for i in judge.front(search, [finished[n][1] for n in numbers])}
    quality = search.objectives.index(search.quality)
    ranked = sorted(
        numbers, key=lambda n: (n not in best, -search.sign * finished[n][1][quality], n)
    )
    return ranked[: search.confirm]


def confirmed(row: TrialRow, searched: float, fresh: Sequence[float]) -> Confirmed | None:
    """A candidate with its t-interval over fresh seeds of the same validation images, None without one.

    `searched` is its mean in the search, `fresh` what the fresh seeds that finished gave.
    """
    if not fresh:
        return None
    return Confirmed(row.variant, row.fingerprint, searched, interval(fresh))
