"""`ablate run`: train exactly the missing runs, then measure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from ablate.commands.prepare import describe_place, prepare_plan
from ablate.costs import MeasuringError, measure_costs
from ablate.driver import Driver, HowToRun
from ablate.execute import make_executor
from ablate.execute.local import LocalExecutor
from ablate.kernels import choose_cohort, choose_kernels, choose_step_path
from ablate.plan import Plan
from ablate.progress import StudyProgress, duration, plural
from ablate.store.store import READY, Store
from ablate.study import Study
from ablate.train.graphs import kernels_on
from ablate.train.precision import (
    choose_device,
    choose_precision,
    default_cohort,
    default_workers,
    device_name,
)
from ablate.trial import CHECKPOINT_SECONDS


@dataclass(frozen=True)
class RunOptions:
    """How to run, which changes no result."""

    device: str = "auto"
    executor: str = "local"
    workers: int | None = None
    max_runs: int | None = None
    retry_failed: bool = False
    cohort: int | None = None
    deterministic: bool = False
    checkpoint_seconds: float | None = None
    step_path: str = "auto"
    run_timeout: float | None = None
    measure: bool = True

    def how(self, kernels: Mapping[str, str]) -> HowToRun:
        """The same for a driver, with what is unset chosen for the device."""
        seconds = self.checkpoint_seconds
        return HowToRun(
            device=self.device,
            cohort=self.cohort or default_cohort(choose_device(self.device)),
            max_runs=self.max_runs,
            kernels=kernels,
            deterministic=self.deterministic,
            checkpoint_seconds=CHECKPOINT_SECONDS if seconds is None else seconds,
            run_timeout_seconds=self.run_timeout,
        )

    def choose_steps(
        self, plan: Plan, store: Store, kernels: Mapping[str, str], note: Callable[[str], None]
    ) -> str:
        """How cohorts are stepped here: eagerly, or on a GPU by what was measured to be faster."""
        if self.step_path == "eager" or choose_device(self.device).type != "cuda":
            return "eager"
        # In a process of its own: a capture that goes wrong may leave one that cannot train.
        with LocalExecutor(workers=1) as apart:
            return choose_step_path(
                plan, store, apart, self.device, kernels,
                deterministic=self.deterministic, note=note,
            )  # fmt: skip

    def choose_cohort(
        self, plan: Plan, store: Store, kernels: Mapping[str, str], step_path: str,
        note: Callable[[str], None],
    ) -> int:  # fmt: skip
        """How many runs are trained side by side: as asked, or on a GPU as many as were measured best."""
        if self.cohort is not None:
            return self.cohort
        with LocalExecutor(workers=1) as apart:  # whose memory is free again afterwards
            return choose_cohort(
                plan, store, apart, self.device, kernels, step_path,
                deterministic=self.deterministic, note=note,
            )  # fmt: skip


def run_study(study: Study, data: Path | None, url: str, options: RunOptions) -> int:
    """Train what is missing and measure what was trained; returns how many things have failed.

    Raises:
        AblateError: the study, the data, the device or the database must be changed; nothing was
            written.
    """
    console = Console()
    device = choose_device(options.device)
    executor = make_executor(options.executor, options.workers or default_workers(device))
    # Before anything is written: missing or broken data ends it here.
    plan = prepare_plan(study, data, console)
    store = Store(url)
    store.register(plan)
    keys = [str(cell.run_key) for cell in plan.cells]
    if options.retry_failed:
        _retry(store, keys, options.max_runs)
    ready = sum(status in READY for status in store.statuses(keys).values())
    todo = ready if options.max_runs is None else min(ready, options.max_runs)
    precision = choose_precision(study.recipe.precision, device).name
    _announce(console, plan, f"{device_name(device)}, {precision}, {executor.slots} at a time",
              ready=ready, todo=todo)  # fmt: skip
    if device.type == "cuda" and not options.deterministic:
        _say(
            console,
            "not deterministic: on a GPU a run that is repeated or goes on after an interruption may "
            "differ in its last digits; --deterministic repeats to the byte",
        )
    started = time.monotonic()
    with executor, StudyProgress(console, todo, study.recipe.epochs, executor.slots) as progress:
        kernels = choose_kernels(plan, store, executor, options.device) if todo else {}
        note = progress.note
        step_path = options.choose_steps(plan, store, kernels, note) if todo else "eager"
        # Costs are measured by eager steps of one run, whatever the cohorts are stepped by.
        measuring = describe_place(
            device, precision, kernels, deterministic=options.deterministic
        ) | {"step_path": "eager"}
        kernels = kernels_on(step_path, kernels)
        environment = measuring | {"kernels": kernels, "step_path": step_path}
        how = replace(options.how(kernels), step_path=step_path)
        if todo > default_cohort(device):
            cohort = options.choose_cohort(plan, store, kernels, step_path, note)
            how = replace(how, cohort=cohort)
        Driver(plan, store, executor, progress, environment, how).run()
    unmeasured = 0
    if options.measure:
        try:
            measure_costs(plan, store, options.device, measuring, console)
        except MeasuringError as error:
            _say(console, f"{error}; run again to measure")
            unmeasured = 1
    return unmeasured + _conclude(console, plan, store, keys, time.monotonic() - started)


def _retry(store: Store, run_keys: list[str], max_runs: int | None) -> None:
    """Make failed runs ready, of those that this invocation trains: the others keep their errors."""
    status = store.statuses(run_keys)
    open_keys = [key for key in run_keys if status[key] in (*READY, "failed")]
    store.retry_failed(open_keys[:max_runs])


def _announce(console: Console, plan: Plan, place: str, *, ready: int, todo: int) -> None:
    runs = len(plan.cells)
    _say(
        console,
        f"{plan.study.name}: {plural(len(plan.variants), 'variant')}, {plural(runs, 'run')}, "
        f"{runs - ready} done, {todo} to train on {plan.dataset.label} with {place}",
    )


def _conclude(console: Console, plan: Plan, store: Store, keys: list[str], seconds: float) -> int:
    status = list(store.statuses(keys).values())
    store.close()
    finished, failed = status.count("finished"), status.count("failed")
    text = f"{plan.study.name}: {finished} of {len(keys)} runs finished in {duration(seconds)}"
    if failed:
        text += f", {failed} failed (see the report; --retry-failed trains them again)"
    _say(console, text)
    return failed


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
