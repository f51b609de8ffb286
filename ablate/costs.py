"""Measures what the plan's variants cost on this device: throughput first, then a profile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console

from ablate.datasets.cache import cache_folder
from ablate.errors import AblateError
from ablate.execute import Died, Done
from ablate.execute.local import LocalExecutor
from ablate.measure.bench import Setting, Subject
from ablate.measure.profile import PATHS, QUIET, Profile
from ablate.measure.throughput import Protocol, Throughput, Turn, quick, with_baseline
from ablate.plan import Plan
from ablate.progress import Counting, duration, plural
from ablate.result import Cost
from ablate.store.store import Store
from ablate.train.precision import choose_device, choose_precision, device_name


class MeasuringError(AblateError):
    """A measurement that did not come to its end; what was trained is untouched."""


def measure_costs(
    plan: Plan, store: Store, device: str, environment: Mapping[str, Any], console: Console
) -> None:
    """Measure the variants that have a finished run and no cost or no profile on this device.

    Throughput and profile run in one process of their own, in this order: no clock runs after a
    profiler, which may slow what follows it. Measurements on one machine wait for each other, and none is
    taken beside training of the same study: whoever trains last measures.

    Raises:
        MeasuringError: a measuring process failed or was lost.
    """
    with _alone(console):
        if _in_training(plan, store):
            console.print(
                "another process is training this study: it will measure", highlight=False
            )
            return
        setting = _setting(plan, store, device)
        finished = _finished(plan, store)
        unmeasured = _without(finished, _measured(plan, store, setting, environment))
        unprofiled = _without(finished, store.profiled(_conditions(setting)[0]))
        with _process() as process:
            if unmeasured:
                baseline = baseline_of(plan)
                protocol = quick(len(with_baseline(unmeasured, baseline)))
                job = Throughput(unmeasured, baseline, setting, protocol)
                _measure(process, job, store, environment, console)
            if unprofiled:
                profile = Profile(unprofiled, setting, store.trace_folder)
                _profile(process, profile, store, console)


def measure_throughput(
    plan: Plan,
    store: Store,
    device: str,
    environment: Mapping[str, Any],
    console: Console,
    protocol: Protocol,
) -> list[Cost]:
    """Measure every variant of a plan, trained or not, and store what it costs.

    Raises:
        MeasuringError: the study is being trained on this machine, or the measuring process failed
            or was lost; nothing was stored.
    """
    with _alone(console):
        if _in_training(plan, store):
            raise MeasuringError(
                f"another process on this machine is training {plan.study.name}: measure when it "
                "has ended"
            )
        everyone = {
            cell.architecture.fingerprint: Subject(cell.variant, cell.architecture.fingerprint)
            for cell in plan.cells
        }
        job = Throughput(
            tuple(everyone.values()), baseline_of(plan), _setting(plan, store, device), protocol
        )
        with _process() as process:
            return _measure(process, job, store, environment, console)


def baseline_of(plan: Plan) -> Subject:
    """The network that all others are compared with; a plan always has it."""
    cell = next(cell for cell in plan.cells if cell.variant.name == plan.study.baseline)
    return Subject(cell.variant, cell.architecture.fingerprint)


def run_throughput(job: Throughput, progress: Callable[[int, int], None]) -> list[Cost]:
    """Measure in a process of its own; `progress` is told how many turns are over, and of how many.

    Raises:
        MeasuringError: the process failed or was lost.
    """
    with _process() as process:
        return _throughput(process, job, progress)


def _throughput(
    process: LocalExecutor, job: Throughput, progress: Callable[[int, int], None]
) -> list[Cost]:
    costs: list[Cost] = []
    for event in _events(process, job):
        if isinstance(event, Turn):
            progress(event.number, event.of)
        else:
            costs.append(event)
    return costs


@contextmanager
def _alone(console: Console) -> Iterator[None]:
    """The only measurement on this machine."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache_folder() / "measuring.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        console.print("another measurement is under way on this machine: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _in_training(plan: Plan, store: Store) -> bool:
    """Whether a living process on this machine trains runs of the study."""
    running = store.running([str(cell.run_key) for cell in plan.cells]).values()
    return any(owner.is_here() and not owner.is_gone() for owner, _, _ in running)


def _setting(plan: Plan, store: Store, device: str) -> Setting:
    recipe = plan.study.recipe
    setting = Setting(recipe, plan.dataset, device)
    return Setting(recipe, plan.dataset, device, store.kernels(*_conditions(setting)))


def _conditions(setting: Setting) -> tuple[str, str]:
    """Device and precision, as the database names them."""
    device = choose_device(setting.device)
    return device_name(device), choose_precision(setting.recipe.precision, device).name


def _measured(
    plan: Plan, store: Store, setting: Setting, environment: Mapping[str, Any]
) -> set[str]:
    """The networks whose costs beside this baseline are known, under this version of torch."""
    return store.measured(
        *_conditions(setting),
        plan.study.recipe.batch_size,
        baseline_of(plan).fingerprint,
        environment.get("torch"),
    )


def _measure(
    process: LocalExecutor,
    job: Throughput,
    store: Store,
    environment: Mapping[str, Any],
    console: Console,
) -> list[Cost]:
    protocol = job.protocol
    console.print(
        f"measuring throughput of {plural(len(job.everyone), 'variant')} ({protocol.name}: "
        f"{protocol.rounds} rounds, blocks of {protocol.block_seconds:.2g} s, at least "
        f"{duration(protocol.seconds(len(job.everyone)))})",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    turns = Counting(console, "  blocks", every_seconds=2.0 if protocol.name == "quick" else 10.0)
    costs = _throughput(process, job, turns)
    store.add_costs(costs, environment)
    return costs


def _profile(process: LocalExecutor, job: Profile, store: Store, console: Console) -> None:
    console.print(f"profiling {plural(len(job.subjects), 'variant')}")
    shown = Counting(console, "  profiles")
    reasons: set[str] = set()
    for done, profiled in enumerate(_events(process, job), start=1):
        store.add_profile(profiled.rows)
        store.add_trace(profiled.trace)
        shown(done, len(job.subjects) * len(PATHS))
        reason = profiled.trace.reason
        if reason is not None and reason not in reasons:
            reasons.add(reason)
            console.print(f"  {reason}", markup=False, highlight=False, soft_wrap=True)


def _finished(plan: Plan, store: Store) -> dict[str, Subject]:
    """The networks that have a finished run, by fingerprint."""
    status = store.statuses([str(cell.run_key) for cell in plan.cells])
    return {
        cell.architecture.fingerprint: Subject(cell.variant, cell.architecture.fingerprint)
        for cell in plan.cells
        if status.get(str(cell.run_key)) == "finished"
    }


def _without(subjects: dict[str, Subject], done: set[str]) -> tuple[Subject, ...]:
    return tuple(s for fingerprint, s in subjects.items() if fingerprint not in done)


def _process() -> LocalExecutor:
    """A process to measure in; it starts with the first job."""
    os.environ.update({**QUIET, **os.environ})
    return LocalExecutor(workers=1)


def _events(process: LocalExecutor, job: Callable[[], Any]) -> Any:
    """The events of one job."""
    process.submit("measure", job)
    while process.busy:
        for _, event in process.wait(timeout_seconds=1.0):
            if isinstance(event, Died):
                raise MeasuringError(f"the measuring process was lost ({event.exit_code})")
            if isinstance(event, Done):
                if event.error:
                    raise MeasuringError(f"measuring failed: {event.error.splitlines()[-1]}")
                return
            yield event
