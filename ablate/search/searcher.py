"""A search under way: asks for trials, gives their runs to the driver, and judges what comes back.

A trial is written to the results database when it is asked and when it ends; Optuna follows. So a
search that was killed goes on with the trials that it had: their runs are ordinary runs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ablate.plan import Cell
from ablate.result import RunStatus
from ablate.search import judge
from ablate.search.asking import Asker
from ablate.search.costs import CostBook
from ablate.search.mirror import MirrorLostError, Outcome
from ablate.search.outcomes import outcome_of, qualities_of, verdict_of
from ablate.search.parts import Parts
from ablate.search.racing import is_out_of_the_race
from ablate.search.restore import restored
from ablate.search.words import told_trial, why_none
from ablate.store.writing.trials import RunSeen, TrialRow, TrialState
from ablate.study.search import ACCURACY, SPEED

FREE_IN_A_ROW = 100
"""Without a budget of trials a search ends after so many that cost nothing: the space is known."""
BUSY_SECONDS = 5.0
"""The driver looks after its runs at least this often, however many trials cost nothing."""


@dataclass
class _Open:
    """A trial under way, the cells of its seeds, and how many of its runs were not there yet."""

    row: TrialRow
    cells: tuple[Cell, ...]
    qualities: list[float] = field(default_factory=list)
    waiting_for: str | None = None


@dataclass
class Searcher:
    """Asks and tells. `more` is called by the driver whenever it looks for work."""

    parts: Parts
    _rows: dict[int, TrialRow] = field(init=False, default_factory=dict)
    _open: dict[int, _Open] = field(init=False, default_factory=dict)
    _values: dict[int, tuple[tuple[float, ...], tuple[float, ...]]] = field(
        init=False, default_factory=dict
    )
    _costs: CostBook = field(init=False)
    _given: set[str] = field(init=False, default_factory=set)
    _tried: set[str] = field(init=False, default_factory=set)
    _registered: set[str] = field(init=False, default_factory=set)
    _first: dict[str, int] = field(init=False, default_factory=dict)
    _asker: Asker = field(init=False)
    _free: int = field(init=False, default=0)
    _told_end: bool = field(init=False, default=False)
    _ends_at: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        parts = self.parts
        self._asker = Asker(
            parts.search, parts.space, parts.mirror,
            parts.cell_of.network_of,
        )  # fmt: skip
        if parts.search.hours is not None:
            self._ends_at = time.monotonic() + 3600 * parts.search.hours
        self._costs = CostBook(parts)
        rows, seen = restored(parts, self._costs)
        for row in rows:
            self._rows[row.number] = row
            self._first.setdefault(row.fingerprint, row.number)
            self._restore(row, seen)
        if not parts.mirror.matches(rows, self._verdicts(rows, seen)):
            self.rebuild()

    @property
    def idle(self) -> bool:
        """Whether no trial is under way."""
        return not self._open

    @property
    def finished(self) -> dict[int, tuple[tuple[float, ...], tuple[float, ...]]]:
        """The search's metric by seed, and objectives, of the trials that had all their seeds, by number."""
        return dict(self._values)

    @property
    def trials(self) -> tuple[TrialRow, ...]:
        """Every trial so far, in the order in which they were asked."""
        return tuple(self._rows.values())

    def rebuild(self) -> None:
        """Make Optuna's study anew from the results database."""
        outcomes = {row.number: self._outcome(row) for row in self.trials}
        self.parts.mirror.rebuild(self.trials, outcomes)

    def _restore_mirror(self, lost: MirrorLostError) -> None:
        """What somebody deleted in Optuna's dashboard, or on the disk, is only a copy."""
        self.parts.say(
            f"Optuna's copy of this search is made anew from the database: {lost.reason}"
        )
        self.parts.mirror.reopen()
        self.rebuild()

    def _report(self, number: int, epoch: int, accuracy: float) -> bool:
        try:
            return self.parts.mirror.report(number, epoch, accuracy)
        except MirrorLostError as error:
            self._restore_mirror(error)
            return self.parts.mirror.report(number, epoch, accuracy)

    def more(self, slots: int) -> tuple[list[Cell], bool]:
        """Cells to train next, and whether there is more to ask that needs no training."""
        until = time.monotonic() + BUSY_SECONDS
        cells = [cell for trial in list(self._open.values()) for cell in self._advance(trial)]
        while len(self._open) < slots and self._budget_left():
            if time.monotonic() > until:
                return cells, True
            if (trial := self._ask()) is not None:
                cells += self._advance(trial)
        if self._asker.ended is not None and self.idle and not self._told_end:
            self._told_end = True
            self.parts.say(self._asker.ended)
        return cells, False

    def begun(self, run_key: str) -> None:
        """A run is being trained: the first trial that waits for it has had it trained, however that ends."""
        waiting = [each for each in self._open.values() if each.waiting_for == run_key]
        if waiting and not any(run_key in each.row.trained for each in self._open.values()):
            row = waiting[0].row
            waiting[0].row = row = replace(row, trained=(*row.trained, run_key))
            self._keep(row)

    def learned(self, run_key: str, epoch: int, accuracy: float | None) -> bool:
        """An epoch of a run has ended; True if its trial is pruned, and the run should stop. After its last
        epoch nothing is: all of it has been trained.
        """
        if self.parts.search.quality != ACCURACY:
            return False  # what it goes by is known at the end of a run
        for trial in list(self._open.values()):
            if accuracy is None or run_key != str(trial.cells[0].run_key):
                continue
            stops, epochs = self._report(trial.row.number, epoch, accuracy), self._epochs
            if stops and epoch < epochs:
                self._end(trial, "pruned", f"pruned after epoch {epoch} of {epochs}")
                return not any(run_key == o.waiting_for for o in self._open.values())
        return False

    # ── asking ────────────────────────────────────────────────────────────────────────────────────

    def _budget_left(self) -> bool:
        search = self.parts.search
        if self._asker.ended is not None:
            return False
        # Networks, not rows: versions before this one had trials of networks that were known.
        if search.trials is not None and len(self._first) >= search.trials:
            return False
        if search.runs is not None:
            # A trial under way may still need all its seeds: the budget is never exceeded.
            reserved = sum(search.seeds - len(t.row.trained) for t in self._open.values())
            trained = sum(len(row.trained) for row in self.trials)
            if trained + reserved + search.seeds > search.runs:
                return False
        if self._ends_at is not None and time.monotonic() > self._ends_at:
            return False
        return search.trials is not None or self._free < FREE_IN_A_ROW

    def _ask(self) -> _Open | None:
        """The next trial; None where no network is left."""
        parts, number = self.parts, max(self._rows, default=-1) + 1
        known = {network: self._rows[first] for network, first in self._first.items()}
        try:
            asked = self._asker.next(number, known, self._outcome)
        except MirrorLostError as error:
            self._restore_mirror(error)
            asked = self._asker.next(number, known, self._outcome)
        if asked is None:
            return None
        point, state = parts.cell_of.named_point(asked[0]), asked[1]
        cell = parts.cell_of(point, 1)
        row = TrialRow(number, point, state, cell.variant.name, cell.architecture.fingerprint)
        if parts.place is not None:
            speed = self._costs.of(row.fingerprint)[SPEED]
            row = row.measured(parts.place, speed, self._costs.against)
        row = parts.store.begin(parts.key, row, cell.architecture)
        self._rows[number] = row
        self._first[row.fingerprint] = number
        try:
            parts.mirror.add(row)
        except MirrorLostError as error:
            self._restore_mirror(error)  # with this trial
        return self._opened(row)

    def _opened(self, row: TrialRow) -> _Open:
        seeds = range(1, self.parts.search.seeds + 1)
        cells = tuple(self.parts.cell_of(dict(row.point), seed) for seed in seeds)
        self._open[row.number] = _Open(row, cells)
        return self._open[row.number]

    # ── judging ───────────────────────────────────────────────────────────────────────────────────

    def _advance(self, trial: _Open) -> list[Cell]:
        """Take in what a trial's runs have given; the cell that it needs next, none if it has ended
        or waits.
        """
        parts, reason = self.parts, self._costs.broken(trial.row.fingerprint)
        if reason is not None:
            self._end(trial, "infeasible", reason)
            return []
        seen = self._seen([str(cell.run_key) for cell in trial.cells])
        for cell in trial.cells[len(trial.qualities) :]:
            run_key = str(cell.run_key)
            run = self._kept(cell, seen.get(run_key))
            if run is None or not run.status.is_over or self._is_tried_again(run_key, run):
                return self._give(trial, cell)
            self._take(trial, run_key, run)
            if run.status is RunStatus.FAILED or run.quality is None:
                self._end(
                    trial, "failed", f"seed {cell.seed} failed: {why_none(run, parts.search)}"
                )
                return []
            if self._stops(trial):
                have, all_seeds = len(trial.qualities), self.parts.search.seeds
                self._end(trial, "raced", f"clearly worse after {have} of {all_seeds} seeds")
                return []
        self._end(trial, "complete", None)
        return []

    def _kept(self, cell: Cell, run: RunSeen | None) -> RunSeen | None:
        """A run that this study names before anything is counted on it: else it may go with another study
        that named it.
        """
        run_key = str(cell.run_key)
        if run is None or not run.status.is_over or run_key in self._registered:
            return run
        self._register([cell])
        return self._seen([run_key]).get(run_key)

    def _is_tried_again(self, run_key: str, run: RunSeen) -> bool:
        """Whether a run that failed before is trained again, which is made possible."""
        if self.parts.retries == 0 or run_key in self._tried or run.status is not RunStatus.FAILED:
            return False
        self.parts.store.retry_failed([run_key])
        return True

    def _give(self, trial: _Open, cell: Cell) -> list[Cell]:
        run_key = str(cell.run_key)
        if trial.waiting_for == run_key:
            return []
        trial.waiting_for = run_key
        if run_key in self._given:
            return []  # another trial waits for the same run
        self._given.add(run_key)
        self._tried.add(run_key)
        self._register([cell])
        self._keep(trial.row)
        return [cell]

    def _keep(self, row: TrialRow) -> None:
        """Store what a trial under way has come to."""
        if row != self._rows[row.number]:
            self.parts.store.update(self.parts.key, row)
            self._rows[row.number] = row

    def _take(self, trial: _Open, run_key: str, run: RunSeen) -> None:
        self._given.discard(run_key)
        trial.row = replace(trial.row, run_keys=(*trial.row.run_keys, run_key))
        trial.waiting_for = None
        if run.quality is not None:
            trial.qualities.append(run.quality)

    def _stops(self, trial: _Open) -> bool:
        """Racing, among the finished trials of different networks."""
        search = self.parts.search
        by_network = {self._rows[n].fingerprint: n for n in self._values}
        finished = [self._values[n] for n in by_network.values()]
        own = trial.qualities, self._costs.of(trial.row.fingerprint)
        return search.racing and is_out_of_the_race(search, *own, finished)

    def _seen(self, run_keys: Sequence[str]) -> dict[str, RunSeen]:
        return self.parts.store.seen(run_keys, self.parts.search.metric)

    def _end(self, trial: _Open, state: TrialState, reason: str | None) -> None:
        parts = self.parts
        row = parts.store.end(parts.key, replace(trial.row, state=state, reason=reason))
        del self._open[row.number]
        self._rows[row.number] = row
        self._remember(row, tuple(trial.qualities))
        outcome = self._outcome(row)
        try:
            parts.mirror.tell(row, outcome)
        except MirrorLostError as error:
            self._restore_mirror(error)  # with what it was to be told
        self._free = 0 if row.trained else self._free + 1
        parts.say(told_trial(row, outcome, parts.search))

    def _remember(self, row: TrialRow, qualities: tuple[float, ...]) -> None:
        costs = self._costs.known(row.fingerprint)
        if row.state == "complete" and judge.is_known(self.parts.search, costs):
            self._values[row.number] = (
                qualities,
                judge.values(self.parts.search, qualities, costs),
            )

    def _restore(self, row: TrialRow, seen: Mapping[str, RunSeen]) -> None:
        if row.state == "running":
            # Its runs are there as far as they were trained, and what it had to train stays counted.
            self._opened(replace(row, run_keys=()))
        elif qualities := qualities_of(row, seen):
            self._remember(row, qualities)

    # ── what Optuna is told ───────────────────────────────────────────────────────────────────────

    def _outcome(self, row: TrialRow) -> Outcome:
        parts, costs = self.parts, self._costs.known(row.fingerprint)
        baseline = self._costs.known(parts.baseline)
        return outcome_of(row, parts.search, parts.store, costs, baseline, parts.links(row))

    def _verdicts(
        self, rows: Sequence[TrialRow], seen: Mapping[str, RunSeen]
    ) -> dict[int, Outcome]:
        search, baseline = self.parts.search, self._costs.known(self.parts.baseline)
        return {
            row.number: verdict_of(row, search, seen, self._costs.known(row.fingerprint), baseline)
            for row in rows
        }

    @property
    def _epochs(self) -> int:
        return self.parts.plan.study.recipe.epochs

    def _register(self, cells: Sequence[Cell]) -> None:
        new = [cell for cell in cells if cell.run_key not in self._registered]
        if new:
            self.parts.store.add_cells(self.parts.plan, new)
            self._registered |= {str(cell.run_key) for cell in new}
