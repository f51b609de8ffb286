"""`ablate run`: train exactly the missing runs, then measure."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from ablate.costs import measure_costs
from ablate.driver import Driver
from ablate.environment import describe_environment
from ablate.execute import make_executor
from ablate.plan import Plan, make_plan
from ablate.progress import Counting, StudyProgress, duration
from ablate.store.store import READY, Store
from ablate.study import Study
from ablate.train.precision import choose_device, choose_precision, device_name


@dataclass(frozen=True)
class RunOptions:
    """How to run, which changes no result."""

    device: str = "auto"
    executor: str = "local"
    workers: int | None = None
    max_runs: int | None = None
    retry_failed: bool = False


def run_study(study: Study, data: Path | None, url: str, options: RunOptions) -> int:
    """Train what is missing and measure what was trained; returns how many of its runs have failed.

    Raises:
        AblateError: the study, the data, the device or the database must be changed; nothing was
            written.
    """
    console = Console()
    device = choose_device(options.device)
    workers = options.workers or (1 if device.type == "cuda" else os.cpu_count() or 1)
    executor = make_executor(options.executor, workers)
    plan = make_plan(study, data)
    # Before anything is written: missing or broken data ends it here.
    plan.dataset.load(Counting(console, f"preparing {plan.dataset.label} (the first time only)"))
    if any(cell.run_key is None for cell in plan.cells):
        plan = make_plan(study, data)
    store = Store(url)
    store.register(plan)
    keys = [str(cell.run_key) for cell in plan.cells]
    if options.retry_failed:
        store.retry_failed(keys)
    status = store.statuses(keys)
    ready = sum(status[key] in READY for key in keys)
    todo = ready if options.max_runs is None else min(ready, options.max_runs)
    precision = choose_precision(study.recipe.precision, device).name
    console.print(
        f"{study.name}: {len(plan.variants)} variants, {len(keys)} runs, {len(keys) - ready} done, "
        f"{todo} to train on {plan.dataset.label} with {device_name(device)}, {precision}, "
        f"{executor.slots} at a time",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    environment = describe_environment() | {
        "device": device_name(device),
        "precision": precision,
        "cuda": torch.version.cuda if device.type == "cuda" else None,
    }
    started = time.monotonic()
    _terminate_like_interrupt()
    with executor, StudyProgress(console, todo, study.recipe.epochs, executor.slots) as progress:
        Driver(plan, store, executor, progress, options.device, environment, options.max_runs).run()
    measure_costs(plan, store, options.device, environment, console)
    return _conclude(console, plan, store, keys, time.monotonic() - started)


def _conclude(console: Console, plan: Plan, store: Store, keys: list[str], seconds: float) -> int:
    status = list(store.statuses(keys).values())
    store.close()
    finished, failed = status.count("finished"), status.count("failed")
    text = f"{plan.study.name}: {finished} of {len(keys)} runs finished in {duration(seconds)}"
    if failed:
        text += f", {failed} failed (see the report; --retry-failed trains them again)"
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    return failed


def _terminate_like_interrupt() -> None:
    """SIGTERM ends a study as Ctrl-C does: running runs are given back, to go on later."""

    def interrupt(_signal: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
