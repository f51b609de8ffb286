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

NOBODY = Sample({})


class Seeds(StrEnum):
    """What the seeds of a sample are for."""

    GRID = "grid"
    SEARCH = "search"
    FRESH = "fresh"


@dataclass(frozen=True)
class Kinds:
    """`own` is what each variant is judged by, and `of` of which kind that is: what the grid has of its
    variants and of the baseline, else fresh seeds, else those of the search.

    `grid` is the family of the grid, beside which stands what only the search has trained, `fresh` that of
    all who have fresh seeds. The baseline is in both, each with its seeds of that kind.
    """

    baseline: str
    own: Mapping[str, Sample]
    of: Mapping[str, Seeds]
    grid: Mapping[str, Sample]
    fresh: Mapping[str, Sample]

    def effects(self, margin: float | None = None, *, looks: bool = False) -> dict[str, Effect]:
        """Of every variant but the baseline, by its own seeds, in the family that these belong to."""
        fresh = self.confirmed(margin)
        found = effects(self.grid, self.baseline, margin, looks=looks)
        return {
            name: fresh[name] if kind is Seeds.FRESH else found[name]
            for name, kind in self.of.items()
            if name != self.baseline
        }

    def confirmed(self, margin: float | None = None) -> dict[str, Effect]:
        """Of everybody who has fresh seeds, by these."""
        return effects(self.fresh, self.baseline, margin)

    @property
    def judged(self) -> Mapping[str, Sample]:
        """The family of the grid; where the grid is the baseline alone, that of fresh seeds."""
        grid = {name: each for name, each in self.grid.items() if not each.picked_by}
        return grid if len(grid) > 1 else self.fresh

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
    declared = {name for name in samples if name in grid or name == baseline}
    beside = {
        name: each if name in declared else replace(each, picked_by=True)
        for name, each in usual.items()
        if name in declared or name not in fresh
    }
    of = {
        name: Seeds.FRESH if name in fresh and fresh[name].scores and not beside.get(name, NOBODY).scores
        else Seeds.GRID if name in declared
        else Seeds.SEARCH
        for name in samples
    }  # fmt: skip
    own = {n: fresh[n] if kind is Seeds.FRESH else beside[n] for n, kind in of.items()}
    return Kinds(baseline, own, of, beside, fresh)
