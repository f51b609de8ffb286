"""Who runs jobs, and where: one contract (`base.py`), one test suite for every entry of `EXECUTORS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ablate.errors import OptionError, unknown
from ablate.execute.base import Died, Done, Executor, Job
from ablate.execute.inprocess import InProcessExecutor
from ablate.execute.local import LocalExecutor
from ablate.execute.ray_executor import RayExecutor, jobs_on_a_gpu

RAY = "ray"


@dataclass(frozen=True, slots=True)
class Where:
    """What an executor has: on this machine room for so many `workers`, and these GPUs to train on; and of
    what was asked for Ray, its address, and how much of a GPU a job gets.
    """

    workers: int = 1
    gpus: tuple[str, ...] = ()
    ray_address: str | None = None
    gpu_share: float | None = None


EXECUTORS: dict[str, Callable[[int | None, Where], Executor]] = {
    "local": lambda workers, where: LocalExecutor(workers or where.workers, where.gpus),
    "inprocess": lambda _workers, _where: InProcessExecutor(),
    RAY: lambda workers, where: RayExecutor(
        workers,
        here=where.workers,
        gpus=len(where.gpus),
        address=where.ray_address,
        gpu_share=where.gpu_share or 1,
    ),
}

__all__ = [
    "EXECUTORS",
    "Died",
    "Done",
    "Executor",
    "Job",
    "Where",
    "jobs_on_a_gpu",
    "make_executor",
]


def make_executor(name: str, workers: int | None, where: Where = Where()) -> Executor:
    """The executor of that name with room for `workers` jobs, or for as many as there are devices.

    Raises:
        UnknownNameError: no such executor.
        OptionError: what belongs to Ray for another one, a share of a GPU where there is none, or a Ray that
            cannot be used.
    """
    if name not in EXECUTORS:
        raise unknown("executor", name, EXECUTORS)
    if where.ray_address is not None and name != RAY:
        raise OptionError(f"--ray-address belongs to --executor ray, not to {name}")
    if where.gpu_share is not None:
        _check_share(name, where)
    return EXECUTORS[name](workers, where)


def _check_share(name: str, where: Where) -> None:
    if not 0.01 <= (where.gpu_share or 0) <= 1:
        raise OptionError(f"--gpu-share {where.gpu_share}: write a number from 0.01 to 1")
    if name != RAY:
        raise OptionError(
            f"--gpu-share belongs to --executor ray, not to {name}: there more --workers share a GPU"
        )
    if not where.gpus:
        raise OptionError("--gpu-share: this machine trains without a GPU; leave it out")
