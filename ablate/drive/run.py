"""`ablate run`: train exactly the missing runs, then measure."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from ablate.drive.costs import measure_costs
from ablate.drive.counts import count_runs
from ablate.drive.driver import Driver
from ablate.drive.options import RunOptions, choose_training
from ablate.drive.pictures import keep_pictures
from ablate.drive.prepare import check_places, prepare_plan, tell_namesakes
from ablate.drive.progress import StudyProgress
from ablate.errors import MeasuringError
from ablate.execute import make_executor
from ablate.plan import Plan
from ablate.result import RunStatus
from ablate.store.writing.store import Store
from ablate.study import Study
from ablate.system.hardware.machine import Machine, find_machine
from ablate.system.messages.console import own_console, say
from ablate.system.messages.language import N_, _, amount
from ablate.system.messages.text import duration

NOT_DETERMINISTIC = N_(
    "not deterministic: on a GPU a run that is repeated or goes on after an "
    "interruption may differ in its last digits; --deterministic repeats to the "
    "byte"
)


def run_study(study: Study, data: Path | None, url: str, options: RunOptions) -> int:
    """Train what is missing and measure what was trained; returns how many things have failed.

    Raises:
        AblateError: the study, the data, the device or the database must be changed; nothing was
            written.
    """
    console = own_console()
    machine = find_machine(options.device, study.recipe.precision)
    executor = make_executor(options.executor, options.workers, options.where(machine))
    # Before anything is written: missing or broken data ends it here.
    plan = prepare_plan(study, data, console, machine, executor.slots, probe=options.probe)
    store = Store(url)
    tell_namesakes(plan, url, console)
    check_places(plan, store, url, console)
    store.register(plan)
    keys = [str(cell.run_key) for cell in plan.cells]
    if options.retry_failed:
        retry_failed(store, keys, options.max_runs)
    counts = count_runs(store, keys)
    todo = counts.ready if options.max_runs is None else min(counts.ready, options.max_runs)
    say(
        _(
            "{name}: {variants}, {counts}, {todo} to train on {label} with {machine}, "
            "{precision}, {slots} at a time",
            name=study.name,
            variants=amount(len(plan.variants), "variant"),
            counts=counts,
            todo=todo,
            label=plan.dataset.label,
            machine=machine.name,
            precision=machine.precision.name,
            slots=executor.slots,
        ),
        console,
    )
    if machine.is_gpu and not options.deterministic:
        say(_(NOT_DETERMINISTIC), console)
    started = time.monotonic()
    with executor, StudyProgress(console, todo, study.recipe.epochs, executor.slots) as progress:
        if todo or counts.elsewhere:
            how = choose_training(options, plan, store, machine, executor, progress.note)
            Driver(plan, store, executor, progress, how).run()
    unmeasured = after_training(options, plan, store, machine, console)
    return unmeasured + conclude(console, study.name, store, keys, time.monotonic() - started)


def after_training(
    options: RunOptions, plan: Plan, store: Store, machine: Machine, console: Console
) -> int:
    """Measure what was trained, if that is asked for, and keep the pictures of a report; returns 1 where
    nothing could be measured.
    """
    unmeasured = 0
    if options.measure:
        try:
            measure_costs(plan, store, machine, console)
        except MeasuringError as error:
            say(_("{error}; run again to measure", error=error), console)
            unmeasured = 1
    keep_pictures(plan, store, console)
    return unmeasured


def retry_failed(store: Store, run_keys: list[str], max_runs: int | None) -> None:
    """Make failed runs ready, of those that this invocation trains: the others keep their errors."""
    status = store.statuses(run_keys)
    known = [k for k in run_keys if k in status]
    open_keys = [k for k in known if status[k].is_ready or status[k] is RunStatus.FAILED]
    store.retry_failed(open_keys[:max_runs])


def conclude(console: Console, name: str, store: Store, keys: list[str], seconds: float) -> int:
    """Say how many of a study's runs have finished; returns how many have failed."""
    status = list(store.statuses(keys).values())
    store.close()
    finished, failed = status.count(RunStatus.FINISHED), status.count(RunStatus.FAILED)
    text = _(
        "{name}: {finished} of {n} runs finished in {seconds}",
        name=name,
        finished=finished,
        n=len(keys),
        seconds=duration(seconds),
    )
    if failed:
        text += _(
            ", {failed} failed (see the report; --retry-failed trains them again)", failed=failed
        )
    say(text, console)
    return failed
