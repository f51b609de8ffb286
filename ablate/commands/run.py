"""`ablate run`: train exactly the missing runs, then measure."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ablate.commands.prepare import describe_place, prepare_plan
from ablate.costs import MeasuringError, measure_costs
from ablate.driver import Driver, HowToRun
from ablate.execute import make_executor
from ablate.execute.local import LocalExecutor
from ablate.interrupts import terminate_like_interrupt
from ablate.kernels import choose_kernels, choose_step_path
from ablate.plan import Plan
from ablate.progress import StudyProgress, duration, plural
from ablate.store.store import READY, Store
from ablate.study import Study
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


def run_study(study: Study, data: Path | None, url: str, options: RunOptions) -> int:
    """Train what is missing and measure what was trained; returns how many things have failed.

    Raises:
        AblateError: the study, the data, the device or the database must be changed; nothing was
            written.
    """
    console = Console()
    device = choose_device(options.device)
    workers = options.workers or default_workers(device)
    executor = make_executor(options.executor, workers)
    # Before anything is written: missing or broken data ends it here.
    plan = prepare_plan(study, data, console)
    store = Store(url)
    store.register(plan)
    keys = [str(cell.run_key) for cell in plan.cells]
    if options.retry_failed:
        status = store.statuses(keys)
        open_keys = [key for key in keys if status[key] in (*READY, "failed")]
        # Only those that this invocation trains: the others keep their errors.
        store.retry_failed(open_keys[: options.max_runs])
    status = store.statuses(keys)
    ready = sum(status[key] in READY for key in keys)
    todo = ready if options.max_runs is None else min(ready, options.max_runs)
    precision = choose_precision(study.recipe.precision, device).name
    console.print(
        f"{study.name}: {plural(len(plan.variants), 'variant')}, {plural(len(keys), 'run')}, "
        f"{len(keys) - ready} done, "
        f"{todo} to train on {plan.dataset.label} with {device_name(device)}, {precision}, "
        f"{executor.slots} at a time",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    if device.type == "cuda" and not options.deterministic:
        console.print(
            "not deterministic: on a GPU a run that is repeated or goes on after an interruption may "
            "differ in its last digits; --deterministic repeats to the byte",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    started = time.monotonic()
    terminate_like_interrupt()
    with executor, StudyProgress(console, todo, study.recipe.epochs, executor.slots) as progress:
        kernels = choose_kernels(plan, store, executor, options.device) if todo else {}
        step_path = "eager"
        if todo and options.step_path == "auto" and device.type == "cuda":
            # In a process of its own: a capture that goes wrong may leave one that cannot train.
            with LocalExecutor(workers=1) as apart:
                step_path = choose_step_path(
                    plan, store, apart, options.device, kernels,
                    deterministic=options.deterministic, note=progress.note,
                )  # fmt: skip
        how = HowToRun(
            device=options.device,
            cohort=options.cohort or default_cohort(device),
            max_runs=options.max_runs,
            kernels=kernels,
            step_path=step_path,
            deterministic=options.deterministic,
            checkpoint_seconds=(
                CHECKPOINT_SECONDS
                if options.checkpoint_seconds is None
                else options.checkpoint_seconds
            ),
            run_timeout_seconds=options.run_timeout,
        )
        environment = describe_place(
            device, precision, kernels, deterministic=options.deterministic
        ) | {"step_path": step_path}
        Driver(plan, store, executor, progress, environment, how).run()
    try:
        measure_costs(plan, store, options.device, environment, console)
        unmeasured = 0
    except MeasuringError as error:
        console.print(f"{error}; run again to measure", markup=False, soft_wrap=True)
        unmeasured = 1
    return unmeasured + _conclude(console, plan, store, keys, time.monotonic() - started)


def _conclude(console: Console, plan: Plan, store: Store, keys: list[str], seconds: float) -> int:
    status = list(store.statuses(keys).values())
    store.close()
    finished, failed = status.count("finished"), status.count("failed")
    text = f"{plan.study.name}: {finished} of {len(keys)} runs finished in {duration(seconds)}"
    if failed:
        text += f", {failed} failed (see the report; --retry-failed trains them again)"
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    return failed
