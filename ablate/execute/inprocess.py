"""Jobs in this very process, one event at a time: for debuggers, notebooks and tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ablate.execute.base import Done, Executor, Job, ended_by
from ablate.system.software.imports import prints_to_stderr


class InProcessExecutor(Executor):
    """One slot; `wait` computes the next event itself, so it may take longer than its timeout. Where a
    process is spent, or lost by what its device answers, only the job ends: it is everybody's.
    """

    slots = 1

    def __init__(self, workers: int = 1) -> None:
        self._job: tuple[str, Iterator[Any]] | None = None

    @property
    def free(self) -> int:
        return 0 if self._job else 1

    def submit(self, job_id: str, job: Job) -> None:
        if self._job:
            raise RuntimeError("no slot is free")
        self._job = (job_id, job())

    def wait(self, timeout_seconds: float) -> list[tuple[str, Any]]:
        if self._job is None:
            return []
        job_id, events = self._job
        try:
            with prints_to_stderr():  # by what a user's network prints
                return [(job_id, next(events))]
        except StopIteration:
            self._job = None
            return [(job_id, Done())]
        except Exception as error:
            self._job = None
            return [(job_id, ended_by(error))]

    def cancel(self, job_id: str) -> None:
        if self._job and self._job[0] == job_id:
            self._job = None

    def close(self) -> None:
        self._job = None
