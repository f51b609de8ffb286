"""The runs that a driver holds: what is reported of them is stored, and only then told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ablate.drive.open_runs import OpenRuns
from ablate.drive.options import TrainingOptions
from ablate.errors import NotKeptError
from ablate.execute import Died
from ablate.plan import Cell
from ablate.result import (
    Anew,
    Checkpoint,
    ComputePath,
    Epoch,
    Failed,
    Finished,
    Histograms,
)
from ablate.store.writing.store import Claim, LostClaimError, Report, Store
from ablate.system.messages.language import _


class Progress(Protocol):
    """What a driver tells whoever watches."""

    def started(self, cell: Cell) -> None: ...
    def resumed(self, cell: Cell, epoch: int) -> None: ...
    def given_back(self, cell: Cell, why: str) -> None: ...
    def epoch(self, cell: Cell, epoch: Epoch) -> None: ...
    def ended(self, cell: Cell, result: Finished | Failed) -> None: ...
    def note(self, text: str) -> None: ...


@dataclass(frozen=True)
class Late:
    """A run whose job was ended because it took too long; `alone` tells that it was its own fault."""

    limit_seconds: float
    alone: bool


@dataclass
class Held:
    """The cells of a driver, by the key of their run, and its claims on those that it is having trained.

    `open` are those that it may still claim, `taken` counts those that it has claimed for good.
    """

    study: str
    store: Store
    progress: Progress
    how: TrainingOptions
    cells: dict[str, Cell]
    open: OpenRuns = field(init=False)
    claims: dict[str, Claim] = field(init=False, default_factory=dict)
    taken: int = field(init=False, default=0)
    _told: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self.open = OpenRuns(self.store, self.cells)

    def add(self, cells: Mapping[str, Cell]) -> None:
        """These come behind the others."""
        self.cells |= cells
        self.open.add(cells)

    def drop(self, run_key: str) -> bool:
        """Give a run back unfinished, and know it no more; whether it was being trained."""
        self.cells.pop(run_key, None)
        self.open.forget(run_key)
        claim = self.claims.pop(run_key, None)
        if claim is not None:
            self.store.stop(claim, "pruned")
        return claim is not None

    def take(self, claims: Iterable[Claim]) -> None:
        """These are ours from now on."""
        for claim in claims:
            self.claims[claim.run_key] = claim
            self.taken += 1

    def give_back(self, claim: Claim, why: str) -> None:
        """Somebody is to claim it again: it has not failed."""
        self.store.stop(claim, why)
        self.given_back(self.cells[claim.run_key], why)

    def given_back(self, cell: Cell, why: str) -> None:
        del self.claims[str(cell.run_key)]
        self.taken -= 1
        self.progress.given_back(cell, why)

    def report(
        self,
        came: Sequence[tuple[str, Epoch | Finished, Mapping[str, Any]]],
        patience_seconds: float | None = None,
    ) -> bool:
        """Store many rows in one transaction, each a run's with the environment that it was made in. False:
        some of the runs are not ours any more.
        """
        reports = [Report(self.claims[key], event, made_in) for key, event, made_in in came]
        lost = self.store.report(reports, patience_seconds) if reports else set[str]()
        for run_key in lost:
            self._lost(run_key)
        return not lost

    def tell(self, run_key: str, event: Epoch | Finished) -> None:
        """What is stored now is told, and of a result the run is over."""
        cell = self.cells[run_key]
        if isinstance(event, Epoch):
            self.progress.epoch(cell, event)
            return
        if self.how.keep == "best":
            self.store.keep_best(self.study, run_key)
        self._ended(cell, event)

    def record(self, run_key: str, event: object, environment: Mapping[str, Any] | None) -> bool:
        """Store what a run reported and tell it; nothing where it is not ours. False: it was just lost."""
        claim = self.claims.get(run_key)
        if claim is None:
            return True
        try:
            self._write(claim, self.cells[run_key], event, environment)
        except LostClaimError:
            self._lost(run_key)
            return False
        return True

    def look(self, cell: Cell, keep: Callable[[], None]) -> None:
        """Keep something that only shows a run, or say once that it cannot be kept: no run fails by that."""
        try:
            keep()
        except NotKeptError as error:
            said = _("{name}: not all histograms are kept: {error}", name=cell.name, error=error)
            if said not in self._told:
                self._told.add(said)
                self.progress.note(said)

    def tell_anew(self, cell: Cell, why: str) -> None:
        self.progress.note(_("{name} begins anew: {why}", name=cell.name, why=why))

    def _write(
        self, claim: Claim, cell: Cell, event: object, environment: Mapping[str, Any] | None
    ) -> None:
        match event:
            case Finished():
                self.store.finish(claim, event, environment or {})
                self.tell(claim.run_key, event)
            case Failed():
                self.store.fail(claim, event, environment)
                self._ended(cell, event)
            case Died():
                self._lose(claim, cell, event, environment)
            case Late():
                self._stop_late(claim, cell, event, environment)
            case _:
                self._write_on_the_way(claim, cell, event)

    def _write_on_the_way(self, claim: Claim, cell: Cell, event: object) -> None:
        match event:
            case Epoch():
                self.store.add_epoch(claim, event)
                self.tell(claim.run_key, event)
            case Checkpoint():
                self.store.add_checkpoint(claim, event)
            case Histograms():
                self.look(cell, lambda: self.store.add_histograms(claim, event))
            case ComputePath():
                self.store.change_path(claim, event.of(cell.variant.attention).document())
            case Anew(reason=reason):
                self.store.resume(claim, anew=True)
                self.look(cell, lambda: self.store.forget_histograms(claim, 0))
                self.tell_anew(cell, reason)
            case _:
                raise TypeError(f"a run sent {type(event).__name__}")

    def _lose(
        self, claim: Claim, cell: Cell, died: Died, environment: Mapping[str, Any] | None
    ) -> None:
        """A run's process is gone: it is tried again, alone, and only then is it known whose fault it was."""
        error = died.reason
        failure = self.store.lose(claim, error, environment, with_node=died.with_node)
        if failure is None:
            self.given_back(cell, _("{error}; it will be trained alone", error=error))
        else:
            self._ended(cell, failure)

    def _stop_late(
        self, claim: Claim, cell: Cell, late: Late, environment: Mapping[str, Any] | None
    ) -> None:
        """A job took too long: a run that was alone with it has failed, others are tried alone."""
        limit = f"{late.limit_seconds:g} s"
        if late.alone:
            failure = Failed("timeout", f"it took longer than {limit} (--run-timeout)")
            self.store.fail(claim, failure, environment)
            self._ended(cell, failure)
        else:
            error = f"its cohort took longer than {limit} for each run"
            self.store.give_back_late(claim, error)
            self.given_back(cell, _("{error}; it will be trained alone", error=error))

    def _ended(self, cell: Cell, result: Finished | Failed) -> None:
        del self.claims[str(cell.run_key)]
        self.open.forget(str(cell.run_key))
        self.progress.ended(cell, result)

    def _lost(self, run_key: str) -> None:
        cell = self.cells[run_key]
        self.progress.note(_("{name}: taken over by another process", name=cell.name))
        del self.claims[run_key]
