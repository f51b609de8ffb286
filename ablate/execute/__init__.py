"""Who runs jobs, and where: one contract (`base.py`), one test suite for every entry of `EXECUTORS`."""

from __future__ import annotations

from collections.abc import Callable

from ablate.errors import unknown
from ablate.execute.base import Died, Done, Executor, Job
from ablate.execute.inprocess import InProcessExecutor
from ablate.execute.local import LocalExecutor

EXECUTORS: dict[str, Callable[[int, tuple[str, ...]], Executor]] = {
    "local": LocalExecutor,
    "inprocess": lambda _workers, _gpus: InProcessExecutor(),
}

__all__ = ["EXECUTORS", "Died", "Done", "Executor", "Job", "make_executor"]


def make_executor(name: str, workers: int, gpus: tuple[str, ...] = ()) -> Executor:
    """The executor of that name with room for `workers` jobs, on these GPUs where there are several.

    Raises:
        UnknownNameError: no such executor.
    """
    if name not in EXECUTORS:
        raise unknown("executor", name, EXECUTORS)
    return EXECUTORS[name](workers, gpus)
