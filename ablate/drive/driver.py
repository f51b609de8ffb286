"""Claims the missing runs of a plan, hands them to an executor and stores what comes back."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ablate.drive.open_runs import OpenRuns
from ablate.drive.options import TrainingOptions, is_shown
from ablate.drive.paths import Paths
from ablate.drive.takeover import LEASE_SECONDS, TakeOver
from ablate.errors import NotKeptError
from ablate.execute import Died, Done, Executor
from ablate.job import Cohort, Run, find_path
from ablate.plan import Cell, Plan
from ablate.result import (
    Anew,
    Checkpoint,
    ComputePath,
    Epoch,
    Failed,
    Finished,
    GivenBack,
    Halved,
    Histograms,
    Noted,
    Started,
)
from ablate.store.store import LAST_WORDS_SECONDS, Claim, LostClaimError, Report, Store
from ablate.system.language import N_, _
from ablate.system.machine import find_machine
from ablate.system.signals import ENDING

RENEW_SECONDS = LEASE_SECONDS / 6
POLL_SECONDS = 1.0
OTHER_PATH = N_("it is computed in another way than those that it was taken with")


class Feed(Protocol):
    """Where further cells come from while a driver runs, as in a search. True: come again."""

    def __call__(self, driver: Driver) -> bool: ...


class Progress(Protocol):
    """What a driver tells whoever watches."""

    def started(self, cell: Cell) -> None: ...
    def resumed(self, cell: Cell, epoch: int) -> None: ...
    def given_back(self, cell: Cell, why: str) -> None: ...
    def epoch(self, cell: Cell, epoch: Epoch) -> None: ...
    def ended(self, cell: Cell, result: Finished | Failed) -> None: ...
    def note(self, text: str) -> None: ...


@dataclass
class _Job:
    """What an executor works on: the runs of a cohort, their path, when it got them, and the environment
    of the process that trains them, once that has told it.
    """

    run_keys: list[str]
    path: ComputePath
    begun: float | None
    environment: Mapping[str, Any] | None = None

    def is_late(self, limit_seconds: float) -> bool:
        """Whether its runs, which share a process, took longer than they may one after the other."""
        if self.begun is None:
            return False  # it waits for its place
        return time.monotonic() - self.begun > limit_seconds * len(self.run_keys)


@dataclass(frozen=True)
class _Came:
    """An event that waits to be stored with others."""

    job_id: str
    event: Any
    environment: Mapping[str, Any] | None

    @property
    def run_key(self) -> str | None:
        """The run that it is of, None for the end of a job."""
        return self.event[0] if isinstance(self.event, tuple) else None


@dataclass(frozen=True)
class _Late:
    """A run whose job was ended because it took too long; `alone` tells that it was its own fault."""

    limit_seconds: float
    alone: bool


@dataclass
class Driver:
    """Trains the missing runs of a plan. One driver is one writer."""

    plan: Plan
    store: Store
    executor: Executor
    progress: Progress
    how: TrainingOptions = field(default_factory=TrainingOptions)
    feed: Feed | None = None
    _cells: dict[str, Cell] = field(init=False)
    _claims: dict[str, Claim] = field(init=False, default_factory=dict)
    _jobs: dict[str, _Job] = field(init=False, default_factory=dict)
    _takeover: TakeOver = field(init=False)
    _paths: Paths = field(init=False)
    _cohort: int = field(init=False)
    _taken: int = field(init=False, default=0)
    _renewed: float = field(init=False, default=0.0)
    _told: set[str] = field(init=False, default_factory=set)
    _open: OpenRuns = field(init=False)
    _unsaved: list[_Came] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._cells = {str(cell.run_key): cell for cell in self.plan.cells}
        self._open = OpenRuns(self.store, self._cells)
        self._takeover = TakeOver(self.store, list(self._cells))
        self._cohort = self.how.cohort
        machine = find_machine(self.how.device, self.plan.study.recipe.precision)
        today = find_path(
            machine,
            self.how.kernels,
            step_path=self.how.step_path,
            deterministic=self.how.deterministic,
        )
        self._paths = Paths(self.store, today, self.how.only_eager)

    @property
    def slots(self) -> int:
        """How many jobs go side by side."""
        return self.executor.slots

    def add(self, cells: Sequence[Cell]) -> None:
        """Train these too, behind those that there are; they are registered already."""
        new = {str(cell.run_key): cell for cell in cells}
        self._cells |= new
        self._open.add(new)
        self._takeover.run_keys = list(self._cells)

    def drop(self, run_key: str) -> None:
        """Give a run back unfinished and take it no more, in this driver."""
        self._cells.pop(run_key, None)
        self._open.forget(run_key)
        self._takeover.run_keys = list(self._cells)
        claim = self._claims.pop(run_key, None)
        if claim is not None:
            self.store.stop(claim, "pruned")
            self._cancel_empty_jobs()

    def run(self) -> None:
        """Train until nothing is missing that this driver may take.

        Runs that another driver is training are waited for, and taken over if it dies.
        """
        try:
            while True:
                more = self.feed is not None and self._may_take and self.feed(self)
                if self.executor.free and self._may_take:
                    self._takeover.watch_sometimes(self._claims)
                self._fill()
                if self.executor.busy:
                    for job_id, event in self.executor.wait(POLL_SECONDS):
                        self._handle(job_id, event)
                    self._save()
                    self._end_late_jobs()
                elif self._may_take and self.store.running(list(self._cells)):
                    self.progress.note(_("waiting for runs of another process"))
                    time.sleep(POLL_SECONDS)
                elif not more and not self._may_begin_again():
                    return
                self._renew()
        finally:
            with _uninterrupted():
                for job_id in self._jobs:
                    self.executor.cancel(job_id)
                self._save(LAST_WORDS_SECONDS)
                for claim in self._claims.values():
                    self.store.stop(claim)

    @property
    def _may_take(self) -> bool:
        return self.how.max_runs is None or self._taken < self.how.max_runs

    def _may_begin_again(self) -> bool:
        """Whether runs that were over are to be trained again, since another command has asked for that."""
        if not self._may_take or not self.store.ready(list(self._cells)):
            return False
        self._open.add(self._cells)
        return True

    def _fill(self) -> None:
        """Claim cohorts, in the plan's order, for as long as there is a slot."""
        while self.executor.free and self._may_take and (sizes := self._sizes()):
            self._paths.look_up_sometimes()
            cohorts = self._open.claim(sizes, self._group, self._begun_path)
            for claims in cohorts:
                self._taken += len(claims)
                self._claims |= {claim.run_key: claim for claim in claims}
            for claims in cohorts:
                for claim in claims:
                    self.progress.started(self._cells[claim.run_key])
                self._submit(claims[0].token, claims)
            if not cohorts:
                return

    def _submit(self, job_id: str, claims: list[Claim]) -> None:
        """Have claimed runs trained that have one path; those that turn out to have another are given
        back, to be claimed with their like.
        """
        if not all(claim.is_first for claim in claims):
            self._paths.look_up()  # now that nobody else can begin them
        begun = [self._begin(claim) for claim in claims]
        _, path = begun[0]
        for claim, (_, other) in zip(claims, begun, strict=True):
            if other != path:
                self.store.stop(claim, OTHER_PATH)
                self._given_back(self._cells[claim.run_key], OTHER_PATH)
        runs = tuple(run for run, its in begun if its == path)
        begins = None if self.executor.queues else time.monotonic()
        self._jobs[job_id] = _Job([run.run_key for run in runs], path, begins)
        self.executor.submit(job_id, self._job(runs, path))

    def _sizes(self) -> list[int]:
        """For each free slot, how many runs to train together: less than a full cohort when every slot gets
        some.
        """
        left = self._open.ready() if self._cohort > 1 else self.executor.free
        if self.how.max_runs is not None:
            left = min(left, self.how.max_runs - self._taken)
        sizes: list[int] = []
        while left > 0 and len(sizes) < self.executor.free:
            sizes.append(max(1, min(self._cohort, math.ceil(left / self.executor.slots))))
            left -= sizes[-1]
        return sizes

    def _begun_path(self, run_key: str) -> Mapping[str, Any]:
        """Under which path a run begins that nobody has begun."""
        return self._paths.own(self._cells[run_key])

    def _group(self, run_key: str) -> Hashable:
        """Runs of one seed and fold that are computed in one way share a cohort."""
        cell = self._cells[run_key]
        return cell.seed, cell.fold, self._paths.of(cell)

    def _job(self, runs: tuple[Run, ...], path: ComputePath) -> Cohort:
        study, how = self.plan.study, self.how
        first = self._cells[runs[0].run_key]
        return Cohort(
            runs=runs,
            seed=first.seed,
            fold=first.fold,
            recipe=study.recipe,
            dataset=self.plan.dataset,
            device=how.device,
            kernels=dict(path.kernels),
            step_path=path.step_path,
            deterministic=path.deterministic,
            checkpoint_seconds=how.checkpoint_seconds,
            content_hash=self.plan.dataset.content_hash(),
            named=self.plan.named,
            pretrained=self.plan.pretrained,
            data=study.data,
        )

    def _begin(self, claim: Claim) -> tuple[Run, ComputePath]:
        """A claimed run as its checkpoint left it, or at its beginning, and the path that it takes."""
        cell = self._cells[claim.run_key]
        path, refusal = self._paths.of(cell), self._paths.refusal(cell)
        start = None  # there is nothing of a first attempt yet, and its path came with the claim
        if not claim.is_first:
            start = self.store.resume(claim, self._paths.own(cell), anew=refusal is not None)
        begun = start.epoch if start else 0
        self._look(cell, lambda: self.store.forget_histograms(claim, begun))
        if refusal is not None:
            self._tell_anew(cell, refusal)
        if start is None:
            path = self._paths.fresh(cell)
        else:
            self.progress.resumed(cell, start.epoch)
        run = Run(
            run_key=claim.run_key,
            variant=cell.variant,
            keep=self.how.keeps(cell.seed),
            look=is_shown(cell),
            start=start.content if start else None,
            histograms=is_shown(cell),
            fingerprint=cell.architecture.fingerprint,
        )
        return run, path

    def _tell_anew(self, cell: Cell, why: str) -> None:
        self.progress.note(_("{name} begins anew: {why}", name=cell.name, why=why))

    def _look(self, cell: Cell, keep: Callable[[], None]) -> None:
        """Keep something that only shows a run, or say once that it cannot be kept: no run fails by that."""
        try:
            keep()
        except NotKeptError as error:
            said = _("{name}: not all histograms are kept: {error}", name=cell.name, error=error)
            if said not in self._told:
                self._told.add(said)
                self.progress.note(said)

    def _handle(self, job_id: str, event: object) -> None:
        """Act on an event, or keep it for the next `_save`, which stores many at once. Events of one job are
        acted on in their order.
        """
        if self._can_wait(job_id, event):
            self._unsaved.append(_Came(job_id, event, self._environment(job_id)))
            return
        if any(each.job_id == job_id for each in self._unsaved):
            self._save()
        self._act_on(job_id, event)

    def _can_wait(self, job_id: str, event: object) -> bool:
        """Whether an event is a row or two, or nothing more than the end of those."""
        match event:
            case Done(error=None):
                return True
            case (str(run_key), Epoch()):
                return run_key in self._claims
            case (str(run_key), Finished(kept=kept)):
                # A file is long to write. Whoever feeds this driver may drop a run at the sight of its epoch.
                is_row = kept is None or kept.weights is None
                return run_key in self._claims and is_row and self.feed is None
        return False

    def _save(self, patience_seconds: float | None = None) -> None:
        """Store what came, in one transaction, and only then tell of it."""
        came = [
            each for each in self._unsaved if each.run_key is None or each.run_key in self._claims
        ]
        reports = [
            Report(self._claims[each.run_key], each.event[1], each.environment or {})
            for each in came
            if each.run_key is not None
        ]
        lost = self.store.report(reports, patience_seconds) if reports else set[str]()
        self._unsaved.clear()
        for run_key in lost:
            self._lost_claim(run_key)
        for each in came:
            claim = self._claims.get(each.run_key or "")
            if each.run_key is None:
                self._act_on(each.job_id, each.event)
            elif claim is not None:
                self._tell(self._cells[each.run_key], each.event[1])

    def _tell(self, cell: Cell, event: Epoch | Finished) -> None:
        """What is stored now is told, and of a result the run is over."""
        if isinstance(event, Epoch):
            self.progress.epoch(cell, event)
            return
        if self.how.keep == "best":
            self._keep_best(cell)
        self._ended(cell, event)

    def _act_on(self, job_id: str, event: object) -> None:
        match event:
            case Done(error=error):
                failure = Failed("error", error or "the run ended without a result")
                self._end_job(job_id, failure)
            case Died():
                self._end_job(job_id, event)
            case (_, Started(environment=environment)):
                self._start(job_id, environment)
            case (_, Halved(size=size)):
                self._cohort = min(self._cohort, size)
                self.progress.note(
                    _("memory ran out: at most {size} runs side by side from now on", size=size)
                )
            case (_, GivenBack() as given):
                self._give_back(job_id, given)
            case (_, Noted(text=text, step_path=step_path)):
                self.progress.note(text)
                if step_path is not None:
                    self._change_step_path(job_id, step_path)
            case (str(run_key), run_event):
                self._store_event(run_key, run_event, self._environment(job_id))
            case _:
                raise TypeError(f"a job sent {type(event).__name__}")

    def _start(self, job_id: str, environment: Mapping[str, Any]) -> None:
        """A process has begun with a job; it may be another machine's, whose device the path then names."""
        job = self._jobs.get(job_id)
        if job is None:
            return
        job.environment = environment
        job.begun = time.monotonic() if job.begun is None else job.begun
        if self.executor.queues:
            device, precision = environment["device"], environment["precision"]
            there = replace(job.path, device=device, precision=precision)
            if there != job.path:
                self._change_path(job, there)

    def _give_back(self, job_id: str, given: GivenBack) -> None:
        """Those of a job that have no result are to be claimed again, and are trained in another process."""
        job = self._jobs.pop(job_id, None)
        if given.step_path is not None:
            self.progress.note(given.reason)
        for run_key in job.run_keys if job else ():
            claim = self._claims.get(run_key)
            if claim is None:
                continue
            cell = self._cells[run_key]
            if given.step_path == "eager":
                self._paths.never_record(cell)
            self.store.stop(claim, given.reason)
            self._given_back(cell, given.reason)

    def _change_step_path(self, job_id: str, step_path: str) -> None:
        job = self._jobs.get(job_id)
        if job is not None:
            self._change_path(job, replace(job.path, step_path=step_path))

    def _change_path(self, job: _Job, path: ComputePath) -> None:
        job.path = path
        for run_key in job.run_keys:
            self._store_event(run_key, path, job.environment)

    def _end_job(self, job_id: str, event: object) -> None:
        """A job is over; what has happened to it has happened to all its runs that have no result."""
        job = self._jobs.pop(job_id, None)
        for run_key in job.run_keys if job else ():
            self._store_event(run_key, event, job.environment if job else None)

    def _environment(self, job_id: str) -> Mapping[str, Any] | None:
        job = self._jobs.get(job_id)
        return job.environment if job else None

    def _end_late_jobs(self) -> None:
        limit = self.how.run_timeout_seconds
        if limit is None:
            return
        for job_id, job in list(self._jobs.items()):
            if job.is_late(limit):
                self.executor.cancel(job_id)
                self._end_job(job_id, _Late(limit, alone=len(job.run_keys) == 1))

    def _store_event(
        self, run_key: str, event: object, environment: Mapping[str, Any] | None
    ) -> None:
        """Store what a run reported; nothing if it is not ours any more."""
        claim = self._claims.get(run_key)
        if claim is None:
            return
        cell = self._cells[run_key]
        try:
            self._write(claim, cell, event, environment)
        except LostClaimError:
            self._lost_claim(run_key)

    def _lost_claim(self, run_key: str) -> None:
        cell = self._cells[run_key]
        self.progress.note(_("{name}: taken over by another process", name=cell.name))
        del self._claims[run_key]
        self._cancel_empty_jobs()

    def _write(
        self, claim: Claim, cell: Cell, event: object, environment: Mapping[str, Any] | None
    ) -> None:
        match event:
            case Finished():
                self.store.finish(claim, event, environment or {})
                self._tell(cell, event)
                return
            case Failed():
                self.store.fail(claim, event, environment)
            case Died():
                self._lose(claim, cell, event, environment)
                return
            case _Late():
                self._stop_late(claim, cell, event, environment)
                return
            case _:
                self._write_on_the_way(claim, cell, event)
                return
        self._ended(cell, event)

    def _keep_best(self, cell: Cell) -> None:
        mark = cell.architecture.fingerprint
        same = [key for key, c in self._cells.items() if c.architecture.fingerprint == mark]
        self.store.keep_best(self.plan.study.name, same)

    def _write_on_the_way(self, claim: Claim, cell: Cell, event: object) -> None:
        match event:
            case Epoch():
                self.store.add_epoch(claim, event)
                self._tell(cell, event)
            case Checkpoint():
                self.store.add_checkpoint(claim, event)
            case Histograms():
                self._look(cell, lambda: self.store.add_histograms(claim, event))
            case ComputePath():
                self.store.change_path(claim, event.of(cell.variant.attention).document())
            case Anew(reason=reason):
                self.store.resume(claim, anew=True)
                self._look(cell, lambda: self.store.forget_histograms(claim, 0))
                self._tell_anew(cell, reason)
            case _:
                raise TypeError(f"a run sent {type(event).__name__}")

    def _lose(
        self, claim: Claim, cell: Cell, died: Died, environment: Mapping[str, Any] | None
    ) -> None:
        """A run's process is gone: it is tried again, alone, and only then is it known whose fault it was."""
        error = died.reason
        failure = self.store.lose(claim, error, environment, with_node=died.with_node)
        if failure is None:
            self._given_back(cell, _("{error}; it will be trained alone", error=error))
        else:
            self._ended(cell, failure)

    def _stop_late(
        self, claim: Claim, cell: Cell, late: _Late, environment: Mapping[str, Any] | None
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
            self._given_back(cell, _("{error}; it will be trained alone", error=error))

    def _ended(self, cell: Cell, result: Finished | Failed) -> None:
        del self._claims[str(cell.run_key)]
        self._open.forget(str(cell.run_key))
        self.progress.ended(cell, result)

    def _given_back(self, cell: Cell, why: str) -> None:
        del self._claims[str(cell.run_key)]
        self._taken -= 1
        self.progress.given_back(cell, why)

    def _cancel_empty_jobs(self) -> None:
        """End the jobs none of whose runs is ours any more."""
        for job_id, job in list(self._jobs.items()):
            if not any(run_key in self._claims for run_key in job.run_keys):
                self.executor.cancel(job_id)
                del self._jobs[job_id]

    def _renew(self) -> None:
        if self._claims and time.monotonic() - self._renewed > RENEW_SECONDS:
            self.store.renew(self._claims.values())
            self._renewed = time.monotonic()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not end the giving back that the first one began."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.signal(s, signal.SIG_IGN) for s in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
