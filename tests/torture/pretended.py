"""What a run would have sent, made from its key: the same from every writer, and from nothing trained."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from typing import Any

from ablate.execute.base import Done, Executor, Job
from ablate.result import Checkpoint, Epoch, Finished, Kept, Step

ENVIRONMENT = {"commit": None}


def epoch_of(run_key: str, number: int) -> Epoch:
    """The epoch that any attempt at this run measures."""
    loss = _fraction(run_key, number)
    step = Step(number, loss, 0.5, 1e-3)
    return Epoch(number, loss, 0.5, loss + 1, 0.5, None, None, 1e-3, 0.1, 500.0, (step,))


def state_of(run_key: str, number: int) -> Checkpoint:
    return Checkpoint(number, f"{run_key} after {number}".encode())


def result_of(run_key: str) -> Finished:
    kept = Kept(weights_of(run_key), b"picture")
    accuracy = _fraction(run_key, 0)
    finished = Finished(accuracy, accuracy, 1.0, b"\xf0", 1.0, 500.0, "pretended", "fp32")
    return replace(finished, kept=kept)


def weights_of(run_key: str) -> bytes:
    return hashlib.sha256(run_key.encode()).digest() * 64


def _fraction(run_key: str, number: int) -> float:
    return int(hashlib.sha256(f"{run_key}/{number}".encode()).hexdigest()[:12], 16) / 16**12


class Paced(Executor):
    """One slot; a job's epochs come one by one, each after a pause, and nothing is trained."""

    slots = 1

    def __init__(self, pause_seconds: float, epochs: int) -> None:
        self._pause, self._epochs = pause_seconds, epochs
        self._job: tuple[str, list[Any]] | None = None

    @property
    def free(self) -> int:
        return 0 if self._job else 1

    def submit(self, job_id: str, job: Job) -> None:
        events: list[Any] = []
        for run in job.runs:  # type: ignore[attr-defined]
            begun = int(run.start.split()[-1]) if run.start else 0
            for number in range(begun + 1, self._epochs + 1):
                events.append((run.run_key, epoch_of(run.run_key, number)))
                events.append((run.run_key, state_of(run.run_key, number)))
            events.append((run.run_key, result_of(run.run_key)))
        self._job = (job_id, [*events, Done()])

    def wait(self, timeout_seconds: float) -> list[tuple[str, Any]]:
        if self._job is None:
            return []
        job_id, events = self._job
        event = events.pop(0)
        if isinstance(event, tuple) and isinstance(event[1], Epoch):
            time.sleep(self._pause)
        if not events:
            self._job = None
        return [(job_id, event)]

    def cancel(self, job_id: str) -> None:
        self._job = None

    def close(self) -> None:
        self._job = None
