"""Which runs a verdict stands on where a search has picked: never on those that it picked by.

The best of many is lucky as well as good, and its luck stays in the mean over any seeds that it was
picked by. So the seeds of a grid, which are declared before anything is seen, those of a search and the
fresh ones that confirm its picks are three kinds, and a sample has one of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from ablate.stats.effect import Effect
from ablate.stats.effects import effects
from ablate.stats.sample import Sample


class Seeds(StrEnum):
    """What the seeds of a sample are for."""

    GRID = "grid"
    SEARCH = "search"
    FRESH = "fresh"


@dataclass(frozen=True)
class Kinds:
    """`own` is what each variant is judged by, and `of` of which kind that is: what the grid has of its
    variants and of the baseline, else fresh seeds, else those of the search.

    `grid` is the family of the grid, `fresh` that of all who have fresh seeds. The baseline is in both, each
    time with its seeds of that kind.
    """

    baseline: str
    own: Mapping[str, Sample]
    of: Mapping[str, Seeds]
    grid: Mapping[str, Sample]
    fresh: Mapping[str, Sample]

    def effects(self, margin: float | None = None, *, looks: bool = False) -> dict[str, Effect]:
        """Of every variant but the baseline, by its own seeds, in the family that these belong to."""
        searched = {n: self.own[n] for n, kind in self.of.items() if kind is Seeds.SEARCH}
        beside = {self.baseline: self.own[self.baseline], **searched}
        found = {
            Seeds.GRID: effects(self.grid, self.baseline, margin, looks=looks),
            Seeds.FRESH: self.confirmed(margin),
            Seeds.SEARCH: effects(beside, self.baseline, margin),
        }
        return {n: found[kind][n] for n, kind in self.of.items() if n != self.baseline}

    def confirmed(self, margin: float | None = None) -> dict[str, Effect]:
        """Of everybody who has fresh seeds, by these."""
        return effects(self.fresh, self.baseline, margin)

    @property
    def judged(self) -> Mapping[str, Sample]:
        """The family of the grid; where the grid is the baseline alone, that of fresh seeds."""
        return self.grid if len(self.grid) > 1 else self.fresh

    def beside(self, first: str, second: str) -> dict[str, Sample]:
        """What two variants are compared by: both by fresh seeds if one of them has no others."""
        names = (first, second)
        alike = Seeds.FRESH in (self.of[first], self.of[second])
        chosen = self.fresh if alike and all(name in self.fresh for name in names) else self.own
        return {name: chosen[name] for name in names}


def by_kind(
    samples: Mapping[str, Sample], baseline: str, grid: Collection[str], last: int
) -> Kinds:
    """Take the seeds of each variant apart. Those above `last` are fresh; `grid` are the variants that the
    study declares.
    """
    usual = {name: each.only(range(last + 1)) for name, each in samples.items()}
    above = {name: each.only(each.seeds - usual[name].seeds) for name, each in samples.items()}
    fresh = {name: each for name, each in above.items() if each.scores or name == baseline}
    declared = {n: each for n, each in usual.items() if n in grid or n == baseline}
    own, of = dict(declared), dict.fromkeys(samples, Seeds.GRID)
    for name in samples:
        if name in fresh and fresh[name].scores and not (name in own and own[name].scores):
            own[name], of[name] = fresh[name], Seeds.FRESH
        elif name not in declared:
            own[name], of[name] = replace(usual[name], picked_by=True), Seeds.SEARCH
    return Kinds(baseline, {name: own[name] for name in samples}, of, declared, fresh)
