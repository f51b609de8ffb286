"""Points of a space as cells of a study, each network under one name; and a look at the whole space."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice

from ablate.errors import PlacementError, StudyError
from ablate.measure.architecture import describe
from ablate.model import Made, check_options
from ablate.plan import Cell, Plan
from ablate.search import judge
from ablate.search.space import Point, Space
from ablate.study import Option, Variant, run_key
from ablate.study.search import SPEED, Search
from ablate.system.messages.text import plural

Marked = tuple[tuple[str, Option], ...]
"""A point as the key of a table."""

LARGEST_WALKED = 10_000
"""The points of a space of at most so many are looked through one by one."""
LARGEST_COUNTED = 2_000
"""Of a space of at most so many points it is told beforehand how many cannot be built: 1 to 2 ms each."""
LARGEST_CHECKED = 300
"""A space of at most so many points is built in outline before it is searched."""


@dataclass
class CellMaker:
    """`maker(point, seed)` is the cell of a point. Points that build one network are one cell, and
    `problems` says of those that were looked at and cannot be built, why.
    """

    plan: Plan
    space: Space
    _known: dict[Variant, Cell] = field(init=False, default_factory=dict)
    _by_network: dict[str, Cell] = field(init=False, default_factory=dict)
    _problem_of: dict[Marked, str | None] = field(init=False, default_factory=dict)
    _made: Made = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for cell in self.plan.cells:
            self._by_network.setdefault(cell.architecture.fingerprint, cell)
            self._known.setdefault(cell.variant, cell)

    def __call__(self, point: Point, seed: int) -> Cell:
        return self.with_seed(self._cell(self.space.variant(point)), seed)

    def network_of(self, point: Point) -> str | None:
        """The fingerprint of a point's network; None if it cannot be built."""
        if self.problem(point) is not None:
            return None
        try:
            return self(point, 1).architecture.fingerprint
        except StudyError as error:
            self._problem_of[tuple(point.items())] = str(error)
            return None

    def problem(self, point: Point) -> str | None:
        """Why a point cannot be built, as far as that can be told without building its network."""
        mark: Marked = tuple(point.items())
        if mark not in self._problem_of:
            dataset = self.plan.dataset
            classes, size = len(dataset.classes()), dataset.image_size
            try:
                check_options(self.space.variant(point), classes, size, self._made)
                self._problem_of[mark] = None
            except StudyError as error:
                self._problem_of[mark] = str(error)
        return self._problem_of[mark]

    @property
    def problems(self) -> list[str]:
        """Why points that were looked at cannot be built, in the order in which that was found."""
        return [problem for problem in self._problem_of.values() if problem is not None]

    def check_points(self) -> str | None:
        """What to say beforehand of points that cannot be built; None of a large space.

        Raises:
            PlacementError: a position that this network does not have.
            StudyError: nothing can be built.
        """
        for point in self.space.firsts():
            try:
                self(point, 1)
            except PlacementError:
                raise  # whatever the options are: a slip in the study, no corner of the space
            except StudyError:
                continue
        if self.space.size > LARGEST_COUNTED:
            return None
        problems = [p for point in self.space.points() if (p := self.problem(point)) is not None]
        if len(problems) == self.space.size:
            raise StudyError(
                f"search: none of the {plural(len(problems), 'point')} of this space can be built; the "
                f"first: {problems[0]}"
            )
        return self.told_problems(problems, f" of {self.space.size:,}") if problems else None

    @staticmethod
    def told_problems(problems: Sequence[str], of: str = "") -> str:
        """How many points cannot be built, and why the first of them cannot."""
        return (
            f"{len(problems):,}{of} points of the space cannot be built and are left out; the first: "
            f"{problems[0]}"
        )

    def one_of_each(self) -> list[Cell]:
        """A cell of each kind of attention of which something can be built.

        Raises:
            StudyError: of none of them.
        """
        firsts = [point for point in self.space.firsts() if self.network_of(point) is not None]
        found = {str(point["attention"]): point for point in firsts}
        for kind in map(str, self.space.parameters["attention"].choices):
            if kind not in found:
                points = islice(self.space.points(kind), LARGEST_WALKED)
                there = next((p for p in points if self.network_of(p) is not None), None)
                found |= {} if there is None else {kind: there}
        if not found:
            raise StudyError(
                f"search: nothing of this space could be built; the first: {self.problems[0]}"
            )
        return [self(point, 1) for point in found.values()]

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
        found = dict[Variant, Point]()
        for point in self.space.points():
            with suppress(StudyError):  # one that cannot be built
                found[self.space.variant(point)] = point
        return found

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
            StudyError: the space is too large.
        """
        if self.space.size > LARGEST_CHECKED:
            raise StudyError(
                f"search: {SPEED} is measured for every variant of the space, and this one has "
                f"{self.space.size:,} points: at most {LARGEST_CHECKED}"
            )
        points = self.space.points()
        cells = [self(point, 1) for point in points if self.network_of(point) is not None]
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
