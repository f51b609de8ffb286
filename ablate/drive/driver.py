"""Claims the missing runs of a plan, hands them to an executor and stores what comes back."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ablate.drive.begin import Begin
from ablate.drive.held import Held, Late, Progress
from ablate.drive.options import TrainingOptions
from ablate.drive.paths import Paths
from ablate.drive.takeover import LEASE_SECONDS, TakeOver
from ablate.execute import Died, Done, Executor
from ablate.job import find_path
from ablate.plan import Cell, Plan
from ablate.result import (
    ComputePath,
    Epoch,
    Failed,
    Finished,
    GivenBack,
    Halved,
    Noted,
    Started,
)
from ablate.store.writing.attempts import LAST_WORDS_SECONDS
from ablate.store.writing.store import Claim, Store
from ablate.system.hardware.machine import find_machine
from ablate.system.messages.language import _
from ablate.system.process.signals import uninterrupted

RENEW_SECONDS = LEASE_SECONDS / 6
POLL_SECONDS = 1.0


class Feed(Protocol):
    """Where further cells come from while a driver runs, as in a search. True: come again."""

    def __call__(self, driver: Driver) -> bool: ...


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


@dataclass
class Driver:
    """Trains the missing runs of a plan. One driver is one writer."""

    plan: Plan
    store: Store
    executor: Executor
    progress: Progress
    how: TrainingOptions = field(default_factory=TrainingOptions)
    feed: Feed | None = None
    _held: Held = field(init=False)
    _jobs: dict[str, _Job] = field(init=False, default_factory=dict)
    _takeover: TakeOver = field(init=False)
    _paths: Paths = field(init=False)
    _begin: Begin = field(init=False)
    _cohort: int = field(init=False)
    _renewed: float = field(init=False, default=0.0)
    _unsaved: list[_Came] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        how, cells = self.how, {str(cell.run_key): cell for cell in self.plan.cells}
        self._held = Held(self.plan.study.name, self.store, self.progress, how, cells)
        self._takeover = TakeOver(self.store, list(cells))
        self._cohort = how.cohort
        machine = find_machine(how.device, self.plan.study.recipe.precision)
        today = find_path(
            machine, how.kernels, step_path=how.step_path, deterministic=how.deterministic
        )
        self._paths = Paths(self.store, today, how.only_eager)
        self._begin = Begin(self.plan, self._held, self._paths)

    @property
    def slots(self) -> int:
        """How many jobs go side by side."""
        return self.executor.slots

    @property
    def taken(self) -> int:
        """How many runs this driver has claimed for good."""
        return self._held.taken

    def add(self, cells: Sequence[Cell]) -> None:
        """Train these too, behind those that there are; they are registered already."""
        self._held.add({str(cell.run_key): cell for cell in cells})
        self._takeover.run_keys = list(self._held.cells)

    def drop(self, run_key: str) -> None:
        """Give a run back unfinished and take it no more, in this driver."""
        trained = self._held.drop(run_key)
        self._takeover.run_keys = list(self._held.cells)
        if trained:
            self._cancel_empty_jobs()

    def run(self) -> None:
        """Train until nothing is missing that this driver may take.

        Runs that another driver is training are waited for, and taken over if it dies.
        """
        try:
            while True:
                more = self.feed is not None and self._may_take and self.feed(self)
                if self.executor.free and self._may_take:
                    self._takeover.watch_sometimes(self._held.claims)
                self._fill()
                if self.executor.busy:
                    for job_id, event in self.executor.wait(POLL_SECONDS):
                        self._handle(job_id, event)
                    self._save()
                    self._end_late_jobs()
                elif self._may_take and self.store.running(list(self._held.cells)):
                    self.progress.note(_("waiting for runs of another process"))
                    time.sleep(POLL_SECONDS)
                elif not more and not self._may_begin_again():
                    return
                self._renew()
        finally:
            with uninterrupted():
                for job_id in self._jobs:
                    self.executor.cancel(job_id)
                self._save(LAST_WORDS_SECONDS)
                for claim in self._held.claims.values():
                    self.store.stop(claim)

    @property
    def _may_take(self) -> bool:
        return self.how.max_runs is None or self._held.taken < self.how.max_runs

    def _may_begin_again(self) -> bool:
        """Whether runs that were over are to be trained again, since another command has asked for that."""
        if not self._may_take or not self.store.ready(list(self._held.cells)):
            return False
        self._held.open.add(self._held.cells)
        return True

    def _fill(self) -> None:
        """Claim cohorts, in the plan's order, for as long as there is a slot."""
        while self.executor.free and self._may_take and (sizes := self._sizes()):
            self._paths.look_up_sometimes()
            cohorts = self._held.open.claim(sizes, self._begin.group, self._begin.path)
            for claims in cohorts:
                self._held.take(claims)
            for claims in cohorts:
                for claim in claims:
                    self.progress.started(self._held.cells[claim.run_key])
                self._submit(claims[0].token, claims)
            if not cohorts:
                return

    def _submit(self, job_id: str, claims: list[Claim]) -> None:
        """Have claimed runs trained."""
        cohort, path = self._begin.cohort(claims)
        begun = None if self.executor.queues else time.monotonic()
        self._jobs[job_id] = _Job([run.run_key for run in cohort.runs], path, begun)
        self.executor.submit(job_id, cohort)

    def _sizes(self) -> list[int]:
        """For each free slot, how many runs to train together: less than a full cohort when every slot gets
        some.
        """
        left = self._held.open.ready() if self._cohort > 1 else self.executor.free
        if self.how.max_runs is not None:
            left = min(left, self.how.max_runs - self._held.taken)
        sizes: list[int] = []
        while left > 0 and len(sizes) < self.executor.free:
            sizes.append(max(1, min(self._cohort, math.ceil(left / self.executor.slots))))
            left -= sizes[-1]
        return sizes

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
                return run_key in self._held.claims
            case (str(run_key), Finished(kept=kept)):
                # A file is long to write. Whoever feeds this driver may drop a run at the sight of its epoch.
                is_row = kept is None or kept.weights is None
                return run_key in self._held.claims and is_row and self.feed is None
        return False

    def _save(self, patience_seconds: float | None = None) -> None:
        """Store what came, in one transaction, and only then tell of it."""
        came, claims = self._unsaved, self._held.claims
        rows = [
            (each.run_key, each.event[1], each.environment or {})
            for each in came
            if each.run_key is not None and each.run_key in claims
        ]
        if not self._held.report(rows, patience_seconds):
            self._cancel_empty_jobs()
        self._unsaved = []
        for each in came:
            if each.run_key is None:
                self._act_on(each.job_id, each.event)
            elif each.run_key in claims:
                self._held.tell(each.run_key, each.event[1])

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
                self._record(run_key, run_event, self._environment(job_id))
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
            claim = self._held.claims.get(run_key)
            if claim is None:
                continue
            if given.step_path == "eager":
                self._paths.never_record(self._held.cells[run_key])
            self._held.give_back(claim, given.reason)

    def _change_step_path(self, job_id: str, step_path: str) -> None:
        job = self._jobs.get(job_id)
        if job is not None:
            self._change_path(job, replace(job.path, step_path=step_path))

    def _change_path(self, job: _Job, path: ComputePath) -> None:
        job.path = path
        for run_key in job.run_keys:
            self._record(run_key, path, job.environment)

    def _end_job(self, job_id: str, event: object) -> None:
        """A job is over; what has happened to it has happened to all its runs that have no result."""
        job = self._jobs.pop(job_id, None)
        for run_key in job.run_keys if job else ():
            self._record(run_key, event, job.environment if job else None)

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
                self._end_job(job_id, Late(limit, alone=len(job.run_keys) == 1))

    def _record(self, run_key: str, event: object, environment: Mapping[str, Any] | None) -> None:
        if not self._held.record(run_key, event, environment):
            self._cancel_empty_jobs()

    def _cancel_empty_jobs(self) -> None:
        """End the jobs none of whose runs is ours any more."""
        for job_id, job in list(self._jobs.items()):
            if not any(run_key in self._held.claims for run_key in job.run_keys):
                self.executor.cancel(job_id)
                del self._jobs[job_id]

    def _renew(self) -> None:
        if self._held.claims and time.monotonic() - self._renewed > RENEW_SECONDS:
            self.store.renew(self._held.claims.values())
            self._renewed = time.monotonic()
