"""A process that must not go on ends, and no cohort makes the next one fail."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import rows_of, small_plan
from drive.test_driver import EPOCH, FINISHED, Recorder, Scripted

from ablate.drive.driver import Driver
from ablate.drive.options import TrainingOptions
from ablate.execute import Done
from ablate.execute.base import Job
from ablate.execute.local import LocalExecutor
from ablate.job import Cohort
from ablate.plan import Plan
from ablate.result import GivenBack, Halved
from ablate.store.writing.store import Store

RECIPE = {"epochs": 1, "batch_size": 256, "augment": []}


@pytest.fixture
def plan() -> Plan:
    return small_plan(seeds=1, recipe=RECIPE)


@pytest.fixture
def store(url: str, plan: Plan) -> Iterator[Store]:
    made = Store(url)
    made.register(plan)
    yield made
    made.close()


def drive(plan: Plan, store: Store, executor: Any, **options: Any) -> Recorder:
    recorder = Recorder()
    with executor:
        how = TrainingOptions(device="cpu", **options)
        Driver(plan, store, executor, recorder, how).run()
    return recorder


class AcceleratorError(RuntimeError):
    """As torch's."""


@dataclass(frozen=True)
class Sticky:
    """A worker's device: after the first illegal access everything in its process fails at once."""

    keys: tuple[str, ...]
    broken: Path

    def __call__(self) -> Iterator[Any]:
        sys.modules["torch"] = SimpleNamespace(  # type: ignore[assignment]
            AcceleratorError=AcceleratorError, OutOfMemoryError=MemoryError
        )
        lost = getattr(sys, "lost", False)
        if lost or not self.broken.exists():
            self.broken.touch()
            sys.lost = True  # type: ignore[attr-defined]
            raise AcceleratorError("CUDA error: an illegal memory access was encountered")
        for key in self.keys:
            yield key, EPOCH
            yield key, FINISHED


class OneDevice(LocalExecutor):
    """Real worker processes, which train nothing, on such a device."""

    def __init__(self, broken: Path) -> None:
        super().__init__(1)
        self._broken = broken

    def submit(self, job_id: str, job: Job) -> None:
        assert isinstance(job, Cohort)
        super().submit(job_id, Sticky(tuple(run.run_key for run in job.runs), self._broken))


@pytest.mark.slow
def test_a_broken_device_costs_its_cohort_a_process_and_nobody_a_result(
    plan: Plan, store: Store, url: str, tmp_path: Path
) -> None:
    recorder = drive(plan, store, OneDevice(tmp_path / "broken"), cohort=2)
    assert len(recorder.returned) == 2, "the first cohort, whose runs are tried again alone"
    assert rows_of(url, "SELECT DISTINCT status FROM v_runs") == [("finished",)]
    [said] = {error for (error,) in rows_of(url, "SELECT error FROM attempts") if error}
    assert said == (
        "the worker process could not go on: "
        "AcceleratorError: CUDA error: an illegal memory access was encountered"
    )


class Capturing(Scripted):
    """A process that a failed capture ends, whenever a cohort is to be recorded."""

    def wait(self, timeout_seconds: float) -> list[tuple[str, Any]]:
        (job_id, job), *_ = self._jobs.items()
        if job.step_path == "eager":
            self._events = (EPOCH, FINISHED, Done())
            return super().wait(timeout_seconds)
        del self._jobs[job_id]
        given = GivenBack("it cannot be a graph: it syncs", step_path="eager")
        return [(job_id, ("", given)), (job_id, Done(spent=True))]


@pytest.mark.slow
def test_a_cohort_that_cannot_be_captured_is_trained_eagerly_by_another_process(
    store: Store, url: str
) -> None:
    plan = small_plan(seeds=2, recipe=RECIPE)
    store.register(plan)
    executor = Capturing()
    recorder = drive(plan, store, executor, cohort=2, step_path="graph")
    # The third network is recorded once more, by itself; those of the second seed are known.
    taken = [(job.seed, len(job.runs), job.step_path) for job in executor.cohorts]
    assert taken[:4] == [(1, 2, "graph"), (1, 2, "eager"), (1, 1, "graph"), (1, 1, "eager")]
    assert {path for seed, _, path in taken if seed == 2} == {"eager"}
    assert len(recorder.results) == len(plan.cells)
    assert recorder.notes == ["it cannot be a graph: it syncs"] * 2
    assert rows_of(url, "SELECT DISTINCT status, failure FROM v_runs") == [("finished", None)]
    assert rows_of(url, "SELECT DISTINCT json_extract(path, '$.step_path') FROM runs") == [
        ("eager",)
    ]


class Full(Scripted):
    """Memory that runs out while more than one run is recorded."""

    def wait(self, timeout_seconds: float) -> list[tuple[str, Any]]:
        (job_id, job), *_ = self._jobs.items()
        size = len(job.runs)
        if size == 1:
            self._events = (EPOCH, FINISHED, Done())
            return super().wait(timeout_seconds)
        del self._jobs[job_id]
        events = Halved((size + 1) // 2), GivenBack("memory ran out while it was recorded")
        return [*((job_id, ("", event)) for event in events), (job_id, Done(spent=True))]


def test_memory_that_runs_out_in_a_capture_halves_the_cohort_in_another_process(
    plan: Plan, store: Store, url: str
) -> None:
    executor = Full()
    drive(plan, store, executor, cohort=3, step_path="graph")
    assert [len(job.runs) for job in executor.cohorts] == [3, 2, 1, 1, 1]
    assert {job.step_path for job in executor.cohorts} == {"graph"}
    assert rows_of(url, "SELECT DISTINCT status, failure FROM v_runs") == [("finished", None)]
