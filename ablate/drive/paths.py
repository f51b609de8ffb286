"""Under which path each run of a plan is trained: the one that it was begun with, wherever that can be."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ablate.plan import Cell
from ablate.result import ComputePath
from ablate.result.path import differences
from ablate.store.writing.store import Store

GUESS_SECONDS = 1.0


@dataclass
class Paths:
    """`today` is the path that runs begin with now. With `only_eager` no step is taken as a graph, and
    if `today` repeats to the byte nothing is continued that does not: that was asked for.
    """

    store: Store
    today: ComputePath
    only_eager: bool = False
    _begun: dict[str, Mapping[str, Any]] = field(init=False, default_factory=dict)
    _eager: set[str] = field(init=False, default_factory=set)
    _looked: float = field(init=False, default=-math.inf)

    def never_record(self, cell: Cell) -> None:
        """Step the network of a cell, whatever its seed, eagerly from now on: a capture of it, or of one
        beside it, failed, and another one would fail as well.
        """
        self._eager.add(cell.architecture.fingerprint)

    def fresh(self, cell: Cell) -> ComputePath:
        """The path that a run begins with now."""
        if cell.architecture.fingerprint in self._eager:
            return replace(self.today, step_path="eager")
        return self.today

    def look_up(self) -> None:
        """Find out what was begun: other drivers begin runs too."""
        self._begun = self.store.paths()
        self._looked = time.monotonic()

    def look_up_sometimes(self) -> None:
        """The same where that was not done just now: good enough to guess who goes together."""
        if time.monotonic() - self._looked > GUESS_SECONDS:
            self.look_up()

    def of(self, cell: Cell) -> ComputePath:
        """The path of a cohort in which the run can go on."""
        return self._followed(cell) or self.fresh(cell)

    def own(self, cell: Cell) -> dict[str, Any]:
        """The path that the run begins with now, as it is stored."""
        return self.fresh(cell).of(cell.variant.attention).document()

    def refusal(self, cell: Cell) -> str | None:
        """Why the run cannot go on under the path that it was begun with; None where it can."""
        begun = self._begun.get(str(cell.run_key))
        if begun is None or self._followed(cell) is not None:
            return None
        return f"it was begun with {differences(begun, self.own(cell))}"

    def _followed(self, cell: Cell) -> ComputePath | None:
        begun = ComputePath.read(self._begun.get(str(cell.run_key), {}))
        path = begun and self.today.following(begun, cell.variant.attention)
        only_eager = self.only_eager or cell.architecture.fingerprint in self._eager
        if path is None or (only_eager and path.step_path != "eager"):
            return None
        return path if path.deterministic or not self.today.deterministic else None
