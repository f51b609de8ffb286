"""What the harness costs beside training: claims, transactions, events, processes. A real Driver run."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from ablate.drive.driver import Driver
from ablate.drive.options import TrainingOptions
from ablate.execute.local import LocalExecutor
from ablate.plan import Cell, Plan, make_plan
from ablate.result import Epoch, Failed, Finished
from ablate.store.writing.store import Store
from ablate.study.file import load_study
from ablate.system.hardware.machine import find_machine
from ablate.tune.choose import Tuning
from benchmarks.field import REFERENCE
from benchmarks.options import Options, watch
from benchmarks.race import BenchmarkError

DIGITS = Path("studies/digits-grid.toml")


@dataclass
class _Clock:
    """Watches a driver: adds up what the runs themselves say about their time."""

    runs: int
    epochs: int
    epoch_seconds: float = 0.0
    run_seconds: float = 0.0
    finished: int = 0
    _seen: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._watch = watch("overhead")

    def started(self, cell: Cell) -> None:
        """Nothing to add: a run says at its end how long it took."""

    def resumed(self, cell: Cell, epoch: int) -> None:
        raise BenchmarkError("a new database has nothing to go on from")

    def given_back(self, cell: Cell, why: str) -> None:
        raise BenchmarkError(why)

    def epoch(self, cell: Cell, epoch: Epoch) -> None:
        self._seen += 1
        self.epoch_seconds += epoch.seconds
        self._watch(self._seen, self.runs * self.epochs)

    def ended(self, cell: Cell, result: Finished | Failed) -> None:
        if isinstance(result, Failed):
            raise BenchmarkError(result.error)
        self.finished += 1
        self.run_seconds += result.seconds

    def note(self, text: str) -> None:
        raise BenchmarkError(text)


def measure_overhead(options: Options) -> dict[str, Any]:
    """The digits study, and with `--data` one long epoch of the reference grid on those images."""
    cohort = find_machine(options.device).cohort
    epochs = ["recipe.epochs=1"] if options.short else []
    digits = make_plan(load_study(DIGITS, epochs))
    measured = {"digits": _measure(digits, options.device, 1 if options.short else cohort)}
    if options.data is not None and not options.short:
        plan = make_plan(load_study(REFERENCE, ["recipe.epochs=1"]), options.data)
        measured[plan.dataset.label] = _measure(plan, options.device, cohort)
    return measured


def _measure(plan: Plan, device: str, runs: int) -> dict[str, Any]:
    """Train the first `runs` runs of a plan with one worker, which is warm before the clock starts."""
    plan.dataset.load()
    clock = _Clock(runs, plan.study.recipe.epochs)
    with tempfile.TemporaryDirectory() as folder, LocalExecutor(1) as executor:
        store = Store(f"sqlite:///{folder}/results.db")
        store.register(plan)
        machine = find_machine(device, plan.study.recipe.precision)
        how = TrainingOptions(
            device=device,
            cohort=machine.cohort,
            max_runs=runs,
            kernels=Tuning(plan, store.choices, machine).kernels(executor),
        )
        driver = Driver(plan, store, executor, clock, how)
        started = perf_counter()
        driver.run()
        seconds = perf_counter() - started
        store.close()
    return {
        "runs": clock.finished,
        "epochs": plan.study.recipe.epochs,
        "seconds": seconds,
        "overhead_seconds_per_run": (seconds - clock.epoch_seconds) / clock.finished,
        "share": 1 - clock.epoch_seconds / seconds,
        "share_outside_runs": 1 - clock.run_seconds / seconds,
    }
