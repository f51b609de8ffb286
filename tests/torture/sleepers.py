"""Runs that only sleep: what is left of a run when nothing is trained. No torch here: workers are light."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ablate.execute.base import Executor, Job
from ablate.result import Started
from ablate.system.hardware.machine import find_machine
from tests.torture.pretended import epoch_of, result_of


@dataclass(frozen=True)
class Sleeps:
    """In the place of a cohort: each of its runs sleeps, and has one epoch and a result; its weights are not
    wanted, as those of most runs are not.
    """

    run_keys: tuple[str, ...]
    seconds: float
    environment: Mapping[str, Any]

    def __call__(self) -> Iterator[tuple[str, Any]]:
        yield "", Started(self.environment)
        for run_key in self.run_keys:
            time.sleep(self.seconds)
            yield run_key, epoch_of(run_key, 1)
            yield run_key, replace(result_of(run_key), kept=None)


class Sleeping(Executor):
    """An executor that gets sleepers in the place of cohorts."""

    def __init__(self, inner: Executor, seconds: float) -> None:
        self.inner, self.seconds = inner, seconds
        machine = find_machine("cpu", "fp32")
        self._environment = {"device": machine.name, "precision": machine.precision.name}
        self.slots, self.queues = inner.slots, inner.queues

    @property
    def free(self) -> int:
        return self.inner.free

    def submit(self, job_id: str, job: Job) -> None:
        keys = tuple(run.run_key for run in job.runs)  # type: ignore[attr-defined]
        self.inner.submit(job_id, Sleeps(keys, self.seconds, self._environment))

    def wait(self, timeout_seconds: float) -> list[tuple[str, Any]]:
        return self.inner.wait(timeout_seconds)

    def cancel(self, job_id: str) -> None:
        self.inner.cancel(job_id)

    def close(self) -> None:
        self.inner.close()
