"""Measures what the plan's variants cost on this device: throughput first, then a profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console

from ablate.errors import AblateError
from ablate.execute import Died, Done
from ablate.execute.local import LocalExecutor
from ablate.measure.bench import Setting, Subject
from ablate.measure.profile import Profile
from ablate.measure.throughput import Round, Throughput
from ablate.plan import Plan
from ablate.progress import Counting
from ablate.result import Cost
from ablate.store.store import Store
from ablate.train.precision import choose_device, choose_precision, device_name


class MeasuringError(AblateError):
    """A measurement that did not come to its end; what was trained is untouched."""


def measure_costs(
    plan: Plan, store: Store, device: str, environment: Mapping[str, Any], console: Console
) -> None:
    """Measure the variants that have a finished run and no cost yet on this device.

    Throughput and profile run in two processes of their own, one after the other, while nothing
    trains.

    Raises:
        MeasuringError: a measuring process failed or was lost.
    """
    subjects = _missing(plan, store, device)
    if not subjects:
        return
    setting = Setting(plan.study.recipe, plan.dataset, device)
    console.print(f"measuring throughput of {len(subjects)} variants (quick)", highlight=False)
    costs: list[Cost] = []
    rounds = Counting(console, "  rounds")
    for event in _events(Throughput(subjects, setting)):
        if isinstance(event, Round):
            rounds(event.number, event.of)
        else:
            costs.append(event)
    store.add_costs(costs, environment)
    console.print(f"profiling {len(subjects)} variants", highlight=False)
    profiled = Counting(console, "  variants")
    for done, rows in enumerate(_events(Profile(subjects, setting)), start=1):
        store.add_profile(rows)
        profiled(done, len(subjects))


def _missing(plan: Plan, store: Store, device: str) -> tuple[Subject, ...]:
    """The variants to measure, each once."""
    chosen = choose_device(device)
    recipe = plan.study.recipe
    precision = choose_precision(recipe.precision, chosen)
    measured = store.measured(device_name(chosen), precision.name, recipe.batch_size)
    status = store.statuses([str(cell.run_key) for cell in plan.cells])
    finished = {
        cell.architecture.fingerprint: Subject(cell.variant, cell.architecture.fingerprint)
        for cell in plan.cells
        if status.get(str(cell.run_key)) == "finished"
    }
    return tuple(s for fingerprint, s in finished.items() if fingerprint not in measured)


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
