"""Sleeping runs through Ray and through local workers, on the real store: what an executor adds to each."""

from __future__ import annotations

import time
import tomllib
from pathlib import Path

from ablate.drive.driver import Driver
from ablate.drive.options import TrainingOptions
from ablate.errors import OptionError
from ablate.execute import make_executor
from ablate.plan import Cell, Plan, make_plan
from ablate.result import Epoch, Failed, Finished
from ablate.store.writing.store import Store
from ablate.study.file import parse_study
from tests.torture.figures import CannotBeDone, Figures
from tests.torture.sleepers import Sleeping
from tests.torture.study import STUDY, make_images

WORKERS = 2


class Clock:
    """A Progress that remembers when results came, and how many."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def started(self, cell: Cell) -> None: ...
    def resumed(self, cell: Cell, epoch: int) -> None: ...
    def given_back(self, cell: Cell, why: str) -> None: ...
    def epoch(self, cell: Cell, epoch: Epoch) -> None: ...
    def note(self, text: str) -> None: ...

    def ended(self, cell: Cell, result: Finished | Failed) -> None:
        self.ends.append(time.monotonic())

    @property
    def seconds_per_run(self) -> float:
        """Of one worker, between the first results of all and the last: what starts once is left out."""
        begun, runs = self.ends[WORKERS], len(self.ends) - 1 - WORKERS
        return (self.ends[-1] - begun) * WORKERS / runs


def measure_overhead(folder: Path, *, seeds: int, sleep_seconds: float) -> Figures:
    """Every run a job of its own, by two local workers and then as tasks of Ray, each on a new database."""
    document = tomllib.loads(STUDY) | {"seeds": seeds}
    plan = make_plan(parse_study(document, "torture"), make_images(folder))
    runs = len(plan.cells)
    clocks = {name: _sleep(folder, plan, name, sleep_seconds) for name in ("local", "ray")}
    local, ray = clocks["local"].seconds_per_run, clocks["ray"].seconds_per_run
    finished = min(len(clock.ends) for clock in clocks.values())
    measured = {
        "unfinished": float(runs - finished),
        "overhead_seconds": ray - local,
        "ray_runs_per_second": WORKERS / ray,
        "local_runs_per_second": WORKERS / local,
    }
    return Figures(f"{runs:,} runs of {sleep_seconds:g} s with each of two executors", measured)


def _sleep(folder: Path, plan: Plan, name: str, seconds: float) -> Clock:
    clock, store = Clock(), Store(f"sqlite:///{folder / name}.db")
    store.register(plan)
    try:
        inner = make_executor(name, WORKERS)
    except OptionError as error:
        raise CannotBeDone(str(error)) from error
    with inner:
        how = TrainingOptions(device="cpu", cohort=1)
        Driver(plan, store, Sleeping(inner, seconds), clock, how).run()
    store.close()
    return clock
