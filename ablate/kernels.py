"""Which path each kind of attention takes on this device: measured once, stored, the same ever after."""

from __future__ import annotations

from ablate.attention import fusable
from ablate.errors import AblateError
from ablate.execute import Died, Done, Executor
from ablate.measure.kernels import KernelChoice
from ablate.plan import Plan
from ablate.store.store import Store
from ablate.train.precision import choose_device, choose_precision, device_name


class KernelError(AblateError):
    """The paths of attention could not be measured."""


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
        known = store.choose_kernels(name, precision.name, _measure(executor, asked))
    return {attention: known[attention] for attention in sorted(used)}


def _measure(executor: Executor, job: KernelChoice) -> dict[str, str]:
    measured: dict[str, str] = {}
    executor.submit("kernels", job)
    while executor.busy:
        for _, event in executor.wait(timeout_seconds=1.0):
            if isinstance(event, Died):
                raise KernelError(f"the measuring process was lost ({event.exit_code})")
            if isinstance(event, Done) and event.error:
                raise KernelError(f"measuring failed: {event.error.strip().splitlines()[-1]}")
            if isinstance(event, dict):
                measured = event
    return measured
