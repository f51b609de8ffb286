"""Points of a space as cells of a study, each network under one name; and a look at the whole space."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

from ablate.errors import StudyError
from ablate.measure.architecture import describe
from ablate.plan import Cell, Plan
from ablate.search import judge
from ablate.search.space import Point, Space
from ablate.study import Variant, run_key
from ablate.study.search import SPEED, Search

LARGEST_WALKED = 10_000
"""The points of a space of at most so many are looked through one by one."""
LARGEST_CHECKED = 300
"""A space of at most so many points is built in outline before it is searched."""


@dataclass
class CellMaker:
    """`maker(point, seed)` is the cell of a point. Points that build one network are one cell."""

    plan: Plan
    space: Space
    _known: dict[Variant, Cell] = field(init=False, default_factory=dict)
    _by_network: dict[str, Cell] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for cell in self.plan.cells:
            self._by_network.setdefault(cell.architecture.fingerprint, cell)
            self._known.setdefault(cell.variant, cell)

    def __call__(self, point: Point, seed: int) -> Cell:
        return self.with_seed(self._cell(self.space.variant(point)), seed)

    def named_point(self, point: Point) -> Point:
        """The point that a network is called by: another one where the study knows it under that name."""
        called = self._cell(self.space.variant(point)).variant
        if called == self.space.variant(point):
            return point
        return self._by_variant.get(called, point)

    @cached_property
    def _by_variant(self) -> dict[Variant, Point]:
        if self.space.size > LARGEST_WALKED:
            return {}
        return {self.space.variant(point): point for point in self.space.points()}

    def named(self, fingerprint: str, seed: int) -> Cell:
        """The cell of a network that was made before."""
        return self.with_seed(self._by_network[fingerprint], seed)

    def with_seed(self, cell: Cell, seed: int) -> Cell:
        """The same variant with another seed."""
        study, dataset = self.plan.study, self.plan.dataset
        content, size = str(dataset.content_hash()), dataset.image_size
        given = cell.architecture.fingerprint, study.recipe, content, size, seed, study.data
        plan = self.plan
        key = run_key(*given, plan.left_out, plan.weights_sha256, sources=plan.sources)
        return replace(cell, seed=seed, run_key=key)

    def all(self) -> list[Cell]:
        """One cell for each network of the space, in the order of its points.

        Raises:
            StudyError: the space is too large, or a point cannot be built.
        """
        if self.space.size > LARGEST_CHECKED:
            raise StudyError(
                f"search: {SPEED} is measured for every variant of the space, and this one has "
                f"{self.space.size:,} points: at most {LARGEST_CHECKED}"
            )
        cells = [self(point, 1) for point in self.space.points()]
        return list({cell.architecture.fingerprint: cell for cell in cells}.values())

    def _cell(self, variant: Variant) -> Cell:
        if variant not in self._known:
            dataset, identity = self.plan.dataset, self.plan.study.identity
            classes = len(dataset.classes())
            architecture = describe(variant, classes, dataset.image_size, identity)
            cell = Cell(variant, 1, architecture, None)
            self._known[variant] = self._by_network.setdefault(architecture.fingerprint, cell)
        return self._known[variant]


def check_constraints(search: Search, maker: CellMaker, costs: dict[str, dict[str, float]]) -> None:
    """Refuse constraints that no variant of the space keeps, where the space is small enough to see.

    `costs` are those of its networks and of the baseline, by fingerprint.

    Raises:
        StudyError: nothing is left to search.
    """
    plan = maker.plan
    baseline = costs[plan.variants[plan.study.baseline].fingerprint]
    reasons = [
        judge.broken(search, costs[c.architecture.fingerprint], baseline) for c in maker.all()
    ]
    if reasons and all(reasons):
        raise StudyError(
            f"search: contradictory constraints: none of the {len(reasons)} variants of the space "
            f"keeps them; the first has {reasons[0]}"
        )
