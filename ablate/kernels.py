"""Which paths a device takes, of attention and of the whole step: measured once, the same ever after."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ablate.attention import fusable
from ablate.errors import AblateError
from ablate.execute import Died, Done, Executor
from ablate.measure.cohorts import MOST, CohortChoice, CohortSize, best_size
from ablate.measure.kernels import KernelChoice
from ablate.measure.steps import StepChoice, StepPath
from ablate.plan import Plan
from ablate.store.store import Store
from ablate.study import Variant
from ablate.train.precision import choose_device, choose_precision, default_cohort, device_name

STEP, COHORT = "step ", "cohort "
"""Before a setting they name, in the table of kernels, the path of the whole step and a cohort's size."""
DETERMINISTIC = " deterministic"

STEP_SECONDS = 900.0
"""A measurement that takes longer hangs: it is seconds of work, and minutes where networks are compiled."""


class KernelError(AblateError):
    """The paths could not be measured."""


def choose_kernels(plan: Plan, store: Store, executor: Executor, device: str) -> dict[str, str]:
    """The path of each kind of attention that has more than one; empty if the plan uses none, or if
    it is trained in the exact precision, which has the plain path alone.

    Where the database knows none for this device and precision they are measured, in a worker of
    the executor, which then is warm for training.

    Raises:
        KernelError: the measurement failed.
    """
    used = {cell.variant.attention for cell in plan.cells} & set(fusable())
    chosen = choose_device(device)
    name = device_name(chosen)
    precision = choose_precision(plan.study.recipe.precision, chosen)
    if precision.exact:
        return {}
    known = store.kernels(name, precision.name)
    if used - set(known):
        asked = KernelChoice(device, plan.study.recipe.precision)
        known = store.choose_kernels(name, precision.name, dict(*_measure(executor, asked)))
    return {attention: known[attention] for attention in sorted(used)}


def choose_step_path(
    plan: Plan,
    store: Store,
    executor: Executor,
    device: str,
    kernels: Mapping[str, str],
    *,
    deterministic: bool,
    note: Callable[[str], None],
) -> str:
    """How cohorts of this plan are stepped: `eager`, the only way of a CPU, `graph` or `compiled`.

    Where the database does not know it for this device, precision and setting it is measured, in a
    worker of the executor, which should train nothing afterwards; `note` is told what came out.
    """
    chosen = choose_device(device)
    if chosen.type != "cuda":
        return "eager"
    study = plan.study
    name, precision = device_name(chosen), choose_precision(study.recipe.precision, chosen).name
    setting = study.setting + DETERMINISTIC * deterministic
    known = store.choice(name, precision, STEP + setting)
    if known is not None:
        return known
    variants = some_variants(plan, default_cohort(chosen))
    job = StepChoice(variants, study.recipe, plan.dataset, device, kernels, deterministic)
    found: list[StepPath] = []
    try:
        for measured in _measure(executor, job, STEP_SECONDS):
            found.append(measured)
    except KernelError as error:
        if not found:
            # Not stored: what killed the process may not be the graph. Training goes on without one.
            note(f"steps: eager, {error}")
            return "eager"
        found[-1] = found[-1].noting(f"cannot be compiled: {error}")
    note(f"steps: {found[-1].path}, {found[-1].note}")
    return store.choose(name, precision, STEP + setting, found[-1].path)


def choose_cohort(
    plan: Plan,
    store: Store,
    executor: Executor,
    device: str,
    kernels: Mapping[str, str],
    step_path: str,
    *,
    deterministic: bool,
    note: Callable[[str], None],
) -> int:
    """How many runs of a seed are trained side by side: on a GPU by measurement, once for each setting.

    It is measured in a worker of the executor; `note` is told what came out.
    """
    chosen = choose_device(device)
    variants = some_variants(plan, MOST)
    if chosen.type != "cuda" or len(variants) == 1:
        return default_cohort(chosen)
    study = plan.study
    name, precision = device_name(chosen), choose_precision(study.recipe.precision, chosen).name
    key = f"{COHORT}{study.setting} {step_path}{DETERMINISTIC * deterministic}"
    known = store.choice(name, precision, key)
    if known is not None:
        return int(known)
    job = CohortChoice(
        variants, study.recipe, plan.dataset, device, kernels, step_path, deterministic
    )
    measured: list[CohortSize] = []
    try:
        for each in _measure(executor, job, STEP_SECONDS):
            measured.append(each)
    except KernelError as error:
        # Not stored: what broke it off may not break it off again.
        size = best_size(measured) if measured else default_cohort(chosen)
        note(f"runs side by side: {size} for now, {error}")
        return size
    if not measured:
        return default_cohort(chosen)
    size, one = best_size(measured), measured[0].seconds_a_run
    gains = ", ".join(f"{m.size}: {one / m.seconds_a_run:.2f}×" for m in measured)
    note(f"runs side by side: {size} (speed of a run by their number: {gains})")
    return int(store.choose(name, precision, key, str(size)))


def some_variants(plan: Plan, most: int) -> tuple[Variant, ...]:
    """At most so many of a plan's networks, from all over its grid, the first among them."""
    networks = {cell.architecture.fingerprint: cell.variant for cell in plan.cells}
    variants = list(networks.values())
    return tuple(variants[:: math.ceil(len(variants) / most)])


def _measure(
    executor: Executor, job: Callable[[], Iterator[Any]], most_seconds: float = math.inf
) -> Iterator[Any]:
    """What a job measures.

    Raises:
        KernelError: it failed, its process was lost, or it took too long.
    """
    ends = time.monotonic() + most_seconds
    executor.submit("kernels", job)
    while executor.busy:
        if time.monotonic() > ends:
            executor.cancel("kernels")
            raise KernelError(f"measuring took more than {most_seconds:.0f} s")
        for _, event in executor.wait(timeout_seconds=1.0):
            if isinstance(event, Died):
                raise KernelError(f"the measuring process was lost ({event.exit_code})")
            if isinstance(event, Done) and event.error:
                raise KernelError(f"measuring failed: {event.error.strip().splitlines()[-1]}")
            if not isinstance(event, Done | Died):
                yield event
