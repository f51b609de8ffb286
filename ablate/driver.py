"""Claims the missing runs of a plan, hands them to an executor and stores what comes back."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from ablate.execute import Died, Done, Executor
from ablate.plan import Cell, Plan
from ablate.result import Epoch, Failed, Finished
from ablate.store.store import Claim, LostClaimError, Store
from ablate.trial import Run

LEASE_SECONDS = 30.0
"""A run elsewhere whose heartbeat stood still for this long, on our own clock, is taken over."""
RENEW_SECONDS = LEASE_SECONDS / 6
POLL_SECONDS = 1.0
KEPT_SEED = 1
"""The seed whose weights are kept, for pictures of what each variant does."""


class Progress(Protocol):
    """What a driver tells whoever watches."""

    def started(self, cell: Cell) -> None: ...
    def epoch(self, cell: Cell, epoch: Epoch) -> None: ...
    def ended(self, cell: Cell, result: Finished | Failed) -> None: ...
    def note(self, text: str) -> None: ...


@dataclass
class _Lease:
    """When we first saw a heartbeat of somebody else's attempt, on our monotonic clock."""

    token: str
    heartbeat: int
    since: float


@dataclass
class Driver:
    """Trains the missing runs of a plan, `max_runs` at most. One driver is one writer."""

    plan: Plan
    store: Store
    executor: Executor
    progress: Progress
    device: str
    environment: Mapping[str, Any]
    max_runs: int | None = None
    _cells: dict[str, Cell] = field(init=False)
    _claims: dict[str, Claim] = field(init=False, default_factory=dict)
    _leases: dict[str, _Lease] = field(init=False, default_factory=dict)
    _taken: int = field(init=False, default=0)
    _renewed: float = field(init=False, default=0.0)
    _looked: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._cells = {str(cell.run_key): cell for cell in self.plan.cells}

    def run(self) -> None:
        """Train until nothing is missing that this driver may take.

        Runs that another driver is training are waited for, and taken over if it dies.
        """
        try:
            while True:
                self._take_back_lost()
                self._fill()
                if self.executor.busy:
                    for run_key, event in self.executor.wait(POLL_SECONDS):
                        self._handle(run_key, event)
                elif self._may_take and self.store.running(list(self._cells)):
                    self.progress.note("waiting for runs of another process")
                    time.sleep(POLL_SECONDS)
                else:
                    return
                self._renew()
        finally:
            with _uninterrupted():
                for claim in self._claims.values():
                    self.executor.cancel(claim.run_key)
                    self.store.stop(claim)

    @property
    def _may_take(self) -> bool:
        return self.max_runs is None or self._taken < self.max_runs

    def _fill(self) -> None:
        """Claim runs, in the plan's order, for as long as there is a slot."""
        while self.executor.free and self._may_take:
            claim = self.store.claim(list(self._cells))
            if claim is None:
                return
            cell = self._cells[claim.run_key]
            self._claims[claim.run_key] = claim
            self._taken += 1
            self.progress.started(cell)
            self.executor.submit(claim.run_key, self._job(cell))

    def _job(self, cell: Cell) -> Run:
        return Run(
            run_key=str(cell.run_key),
            variant=cell.variant,
            seed=cell.seed,
            recipe=self.plan.study.recipe,
            dataset=self.plan.dataset,
            device=self.device,
            keep=cell.seed == KEPT_SEED,
        )

    def _handle(self, run_key: str, event: object) -> None:
        claim, cell = self._claims.get(run_key), self._cells[run_key]
        if claim is None:
            return
        try:
            self._store_event(claim, cell, event)
        except LostClaimError:
            self.progress.note(
                f"{cell.variant.name}, seed {cell.seed}: taken over by another process"
            )
            self.executor.cancel(run_key)
            del self._claims[run_key]

    def _store_event(self, claim: Claim, cell: Cell, event: object) -> None:
        match event:
            case Epoch():
                self.store.add_epoch(claim, event)
                self.progress.epoch(cell, event)
                return
            case Finished():
                self.store.finish(claim, event, self.environment)
            case Failed():
                self.store.fail(claim, event)
            case Done(error=error):
                event = Failed("error", error or "the run ended without a result")
                self.store.fail(claim, event)
            case Died(exit_code=exit_code):
                event = Failed(
                    "worker_died", f"the worker process ended with exit code {exit_code}"
                )
                self.store.fail(claim, event)
            case _:
                raise TypeError(f"a run sent {type(event).__name__}")
        del self._claims[claim.run_key]
        self.progress.ended(cell, event)

    def _renew(self) -> None:
        if self._claims and time.monotonic() - self._renewed > RENEW_SECONDS:
            self.store.renew(self._claims.values())
            self._renewed = time.monotonic()

    def _take_back_lost(self) -> None:
        """Make runs ready again whose process has ended, or whose heartbeat stood still for a lease."""
        if not (self.executor.free and self._may_take):
            return
        now = time.monotonic()
        if now - self._looked > LEASE_SECONDS / 2:
            # We were busy or blocked, perhaps by a lock that stopped the others' heartbeats too.
            self._leases.clear()
        self._looked = now
        for run_key, (owner, token, heartbeat) in self.store.running(list(self._cells)).items():
            if run_key in self._claims:
                continue
            lease = self._leases.get(run_key)
            if lease is None or (lease.token, lease.heartbeat) != (token, heartbeat):
                lease = self._leases[run_key] = _Lease(token, heartbeat, time.monotonic())
            elapsed = time.monotonic() - lease.since > LEASE_SECONDS
            if owner.is_gone() or (elapsed and not owner.is_here()):
                self.store.take_back(run_key, token)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not end the giving back that the first one began."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
