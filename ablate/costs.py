"""Measures what the plan's variants cost on this device: throughput first, then a profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from filelock import FileLock
from rich.console import Console

from ablate.datasets.cache import cache_folder
from ablate.errors import AblateError
from ablate.execute import Died, Done
from ablate.execute.local import LocalExecutor
from ablate.measure.bench import Setting, Subject
from ablate.measure.profile import Profile
from ablate.measure.throughput import Round, Throughput
from ablate.plan import Plan
from ablate.progress import Counting, plural
from ablate.result import Cost
from ablate.store.store import Store
from ablate.train.precision import choose_device, choose_precision, device_name


class MeasuringError(AblateError):
    """A measurement that did not come to its end; what was trained is untouched."""


def measure_costs(
    plan: Plan, store: Store, device: str, environment: Mapping[str, Any], console: Console
) -> None:
    """Measure the variants that have a finished run and no cost or no profile on this device.

    Throughput and profile run in two processes of their own, one after the other. Measurements on
    one machine wait for each other, and none is taken beside training of the same study: whoever
    trains last measures.

    Raises:
        MeasuringError: a measuring process failed or was lost.
    """
    cache_folder().mkdir(parents=True, exist_ok=True)
    with FileLock(cache_folder() / "measuring.lock"):
        running = store.running([str(cell.run_key) for cell in plan.cells]).values()
        if any(owner.is_here() and not owner.is_gone() for owner, _, _ in running):
            console.print(
                "another process is training this study: it will measure", highlight=False
            )
            return
        chosen = choose_device(device)
        precision = choose_precision(plan.study.recipe.precision, chosen).name
        name, batch_size = device_name(chosen), plan.study.recipe.batch_size
        kernels = store.kernels(name, precision)
        setting = Setting(plan.study.recipe, plan.dataset, device, kernels)
        finished = _finished(plan, store)
        unmeasured = _without(finished, store.measured(name, precision, batch_size))
        if unmeasured:
            _measure(Throughput(unmeasured, setting), store, environment, console)
        unprofiled = _without(finished, store.profiled(name))
        if unprofiled:
            _profile(Profile(unprofiled, setting), store, console)


def _measure(
    job: Throughput, store: Store, environment: Mapping[str, Any], console: Console
) -> None:
    console.print(f"measuring throughput of {plural(len(job.subjects), 'variant')} (quick)")
    costs: list[Cost] = []
    rounds = Counting(console, "  rounds")
    for event in _events(job):
        if isinstance(event, Round):
            rounds(event.number, event.of)
        else:
            costs.append(event)
    store.add_costs(costs, environment)


def _profile(job: Profile, store: Store, console: Console) -> None:
    console.print(f"profiling {plural(len(job.subjects), 'variant')}")
    profiled = Counting(console, "  variants")
    for done, rows in enumerate(_events(job), start=1):
        store.add_profile(rows)
        profiled(done, len(job.subjects))


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


def _events(job: Callable[[], Any]) -> Any:
    """The events of one job in a process of its own."""
    with LocalExecutor(workers=1) as executor:
        executor.submit("measure", job)
        while executor.busy:
            for _, event in executor.wait(timeout_seconds=1.0):
                if isinstance(event, Died):
                    raise MeasuringError(f"the measuring process was lost ({event.exit_code})")
                if isinstance(event, Done):
                    if event.error:
                        raise MeasuringError(f"measuring failed: {event.error.splitlines()[-1]}")
                    return
                yield event
