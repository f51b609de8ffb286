"""What a driver may count on from every executor: in this process, in local ones, and in those of Ray."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import rows_of, small_plan
from support.executors import each, started

from ablate.drive.driver import Driver
from ablate.drive.options import TrainingOptions
from ablate.execute import Executor
from ablate.job import Cohort
from ablate.plan import Cell, Plan
from ablate.result import Epoch, Failed, Finished, Started
from ablate.store.writing.store import Store
from ablate.system.messages.command_line import command_line
from ablate.system.software.environment import package_version

ENVIRONMENT = {"device": "a machine", "precision": "fp32"}
EPOCH = Epoch(1, 2.0, 0.5, 1.9, 0.55, None, None, 1e-3, 2.0, 500.0)
FINISHED = Finished(0.55, 0.5, 1.8, b"\xf0", 4.0, 500.0, "a machine", "fp32")
SAME = "SELECT run_key, val_accuracy, test_accuracy, epochs, attempts, status FROM v_runs ORDER BY run_key"
ENVIRONMENTS = "SELECT DISTINCT content FROM runs JOIN environments USING (environment_id)"
LOSSES = "SELECT run_key, epoch, train_loss, val_loss FROM v_epochs ORDER BY run_key, epoch"


@dataclass(frozen=True)
class Raises:
    """In the place of a cohort: begins, and raises."""

    run_keys: tuple[str, ...]

    def __call__(self) -> Iterator[tuple[str, Any]]:
        yield "", Started(ENVIRONMENT)
        raise ValueError("no good")


@dataclass(frozen=True)
class FinishesOne:
    """In the place of a cohort: its first run finishes, the next one takes for ever."""

    run_keys: tuple[str, ...]

    def __call__(self) -> Iterator[tuple[str, Any]]:
        yield "", Started({**ENVIRONMENT, "pid": os.getpid()})
        yield self.run_keys[0], EPOCH
        yield self.run_keys[0], FINISHED
        time.sleep(600)


class Instead(Executor):
    """An executor that runs something else than the cohorts that it is given."""

    def __init__(self, inner: Executor, kind: type[Raises] | type[FinishesOne]) -> None:
        self.inner, self.kind, self.slots, self.queues = inner, kind, inner.slots, inner.queues

    @property
    def free(self) -> int:
        return self.inner.free

    def submit(self, job_id: str, job: Any) -> None:
        assert isinstance(job, Cohort)
        self.inner.submit(job_id, self.kind(tuple(run.run_key for run in job.runs)))

    def wait(self, timeout_seconds: float) -> list[tuple[str, Any]]:
        return self.inner.wait(timeout_seconds)

    def cancel(self, job_id: str) -> None:
        self.inner.cancel(job_id)

    def close(self) -> None:
        self.inner.close()


class Quiet:
    """A Progress that tells nobody."""

    def started(self, cell: Cell) -> None: ...
    def resumed(self, cell: Cell, epoch: int) -> None: ...
    def given_back(self, cell: Cell, why: str) -> None: ...
    def epoch(self, cell: Cell, epoch: Epoch) -> None: ...
    def ended(self, cell: Cell, result: Finished | Failed) -> None: ...
    def note(self, text: str) -> None: ...


class Watcher(Quiet):
    """Presses Ctrl-C half a second after the first result, when the driver waits for the next one."""

    pressed = 0.0

    def ended(self, cell: Cell, result: Finished | Failed) -> None:
        threading.Timer(0.5, self._press).start()

    def _press(self) -> None:
        self.pressed = time.monotonic()
        os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return small_plan(
        backbone="cbam_cnn(width=0.25)",
        recipe={"epochs": 1, "batch_size": 256, "augment": []},
    )


def train(
    plan: Plan, url: str, executor: Executor, progress: Quiet | None = None, cohort: int = 2
) -> None:
    store = Store(url)
    store.register(plan)
    try:
        how = TrainingOptions(device="cpu", cohort=cohort)
        with executor:
            Driver(plan, store, executor, progress or Quiet(), how).run()
    finally:
        store.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", each(but="inprocess"))
def test_each_run_is_trained_once_and_to_the_same_bytes(
    plan: Plan, tmp_path: Path, name: str
) -> None:
    here, there = (f"sqlite:///{tmp_path / file}.db" for file in ("here", "there"))
    train(plan, here, started("inprocess", 1))
    train(plan, there, started(name, 2))
    assert rows_of(there, SAME) == rows_of(here, SAME)
    assert rows_of(there, LOSSES) == rows_of(here, LOSSES)
    assert len(rows_of(there, SAME)) == len(plan.cells)
    assert {row[4:] for row in rows_of(there, SAME)} == {(1, "finished")}
    [environment] = [json.loads(text) for (text,) in rows_of(there, ENVIRONMENTS)]
    assert environment["command"] == command_line(sys.argv), "the driver's, not that of a worker"
    assert environment["torch"] == package_version("torch")


@pytest.mark.slow
def test_ray_and_postgresql_change_no_number(plan: Plan, url: str, postgres_url: str) -> None:
    train(plan, url, started("inprocess", 1))
    train(plan, postgres_url, started("ray", 2))
    assert rows_of(postgres_url, SAME) == rows_of(url, SAME)
    assert rows_of(postgres_url, LOSSES) == rows_of(url, LOSSES)


@pytest.mark.slow
@pytest.mark.parametrize("name", each())
def test_a_worker_that_raises_is_a_failed_run(plan: Plan, url: str, name: str) -> None:
    train(plan, url, Instead(started(name, 2), Raises))
    assert rows_of(url, "SELECT DISTINCT status, failure, attempts FROM v_runs") == [
        ("failed", "error", 1)
    ]
    errors = rows_of(url, "SELECT DISTINCT error FROM runs")
    assert all("ValueError: no good" in error for (error,) in errors)


@pytest.mark.slow
@pytest.mark.parametrize("name", each())
def test_an_interrupt_leaves_what_was_saved_and_gives_the_rest_back(
    plan: Plan, url: str, name: str
) -> None:
    watcher = Watcher()
    with pytest.raises(KeyboardInterrupt):
        train(plan, url, Instead(started(name, 1), FinishesOne), watcher, cohort=2)
    assert time.monotonic() - watcher.pressed < 5
    counts = dict(rows_of(url, "SELECT status, count(*) FROM v_runs GROUP BY status"))
    assert counts.pop("finished") == 1
    assert "running" not in counts
    assert sum(counts.values()) == len(plan.cells) - 1
