"""Who runs jobs, and where: one contract (`base.py`), one test suite for every entry of `EXECUTORS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ablate.errors import OptionError, unknown
from ablate.execute.base import Died, Done, Executor, Job
from ablate.execute.inprocess import InProcessExecutor
from ablate.execute.local import LocalExecutor
from ablate.execute.ray_executor import RayExecutor

RAY = "ray"


@dataclass(frozen=True, slots=True)
class Where:
    """What an executor has: on this machine room for so many `workers`, and these GPUs to train on; and the
    address of a Ray that was asked for.
    """

    workers: int = 1
    gpus: tuple[str, ...] = ()
    ray_address: str | None = None


EXECUTORS: dict[str, Callable[[int | None, Where], Executor]] = {
    "local": lambda workers, where: LocalExecutor(workers or where.workers, where.gpus),
    "inprocess": lambda _workers, _where: InProcessExecutor(),
    RAY: lambda workers, where: RayExecutor(
        workers, here=where.workers, gpus=len(where.gpus), address=where.ray_address
    ),
}

__all__ = ["EXECUTORS", "Died", "Done", "Executor", "Job", "Where", "make_executor"]


def make_executor(name: str, workers: int | None, where: Where = Where()) -> Executor:
    """The executor of that name with room for `workers` jobs, or for as many as there are devices.

    Raises:
        UnknownNameError: no such executor.
        OptionError: an address of Ray for another one, or a Ray that cannot be used.
    """
    if name not in EXECUTORS:
        raise unknown("executor", name, EXECUTORS)
    if where.ray_address is not None and name != RAY:
        raise OptionError(f"--ray-address belongs to --executor ray, not to {name}")
    return EXECUTORS[name](workers, where)
