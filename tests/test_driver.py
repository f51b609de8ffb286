"""The driver: exactly the missing runs, in order, whatever dies on the way."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import small_plan

from ablate import driver as driver_module
from ablate import trial
from ablate.driver import Driver
from ablate.execute import make_executor
from ablate.execute.base import Died, Done, Executor, Job
from ablate.plan import Cell, Plan
from ablate.result import Epoch, Failed, Finished
from ablate.store.owner import Owner
from ablate.store.store import Store


class Recorder:
    """A Progress that remembers what it was told."""

    def __init__(self) -> None:
        self.order: list[tuple[str, int]] = []
        self.results: dict[str, Finished | Failed] = {}
        self.notes: list[str] = []
        self.epochs = 0

    def started(self, cell: Cell) -> None:
        self.order.append((cell.variant.name, cell.seed))

    def epoch(self, cell: Cell, epoch: Epoch) -> None:
        self.epochs += 1

    def ended(self, cell: Cell, result: Finished | Failed) -> None:
        self.results[str(cell.run_key)] = result

    def note(self, text: str) -> None:
        self.notes.append(text)


class Scripted(Executor):
    """One slot; every job ends at once with the same events, and nothing is trained."""

    slots = 1

    def __init__(self, *events: Any) -> None:
        self._events = events
        self._job: str | None = None

    @property
    def free(self) -> int:
        return int(self._job is None)

    def submit(self, job_id: str, job: Job) -> None:
        self._job = job_id

    def wait(self, timeout_seconds: float) -> list[tuple[str, Any]]:
        job_id, self._job = str(self._job), None
        return [(job_id, event) for event in self._events]

    def cancel(self, job_id: str) -> None:
        self._job = None

    def close(self) -> None: ...


EPOCH = Epoch(1, 2.0, 0.5, 1.9, 0.55, None, None, 1e-3, 2.0, 500.0)
FINISHED = Finished(0.55, 0.5, 1.8, b"\xf0", 4.0, 500.0, "a machine", "fp32")


def instant() -> Executor:
    return Scripted(EPOCH, FINISHED, Done())


def drive(plan: Plan, store: Store, executor: Executor | None = None, **options: Any) -> Recorder:
    recorder = Recorder()
    with executor or make_executor("inprocess", 1) as made:
        Driver(plan, store, made, recorder, "cpu", {"commit": "abc"}, **options).run()
    return recorder


@pytest.fixture
def plan() -> Plan:
    """One epoch without augmentation: what matters here is who trains what, not how well."""
    return small_plan(recipe={"epochs": 1, "batch_size": 256, "augment": []})


@pytest.fixture
def store(url: str, plan: Plan) -> Store:
    made = Store(url)
    made.register(plan)
    return made


def query(url: str, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        return connection.execute(sql).fetchall()


def test_every_cell_is_trained_once_seed_by_seed(plan: Plan, store: Store, url: str) -> None:
    recorder = drive(plan, store)
    assert recorder.order == [(cell.variant.name, cell.seed) for cell in plan.cells]
    assert [seed for _, seed in recorder.order] == [1, 1, 1, 2, 2, 2]
    assert query(url, "SELECT DISTINCT status, epochs, attempts FROM v_runs") == [
        ("finished", 1, 1)
    ]
    assert drive(plan, store).order == [], "run again, it trains nothing"


def test_max_runs_does_a_part_and_the_next_time_the_rest(plan: Plan, store: Store) -> None:
    first = drive(plan, store, instant(), max_runs=4).order
    second = drive(plan, store, instant()).order
    assert len(first) == 4
    assert first + second == [(cell.variant.name, cell.seed) for cell in plan.cells]
    assert drive(plan, store, instant(), max_runs=0).order == []


def test_a_failed_run_stops_no_other(
    plan: Plan, store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = trial.build

    def broken(variant: Any, *rest: Any) -> Any:
        if variant.position == "pool1":
            raise ValueError("no luck")
        return build(variant, *rest)

    monkeypatch.setattr(trial, "build", broken)
    recorder = drive(plan, store)
    assert len(recorder.results) == len(plan.cells)
    rows = query(url, "SELECT variant, failure, error FROM v_runs WHERE status = 'failed'")
    assert [(variant, kind) for variant, kind, _ in rows] == [("se(pool1, r=8)", "error")] * 2
    assert all("ValueError: no luck" in error for *_, error in rows)


def test_a_job_that_ends_without_a_result_has_failed(plan: Plan, store: Store, url: str) -> None:
    drive(plan, store, Scripted(EPOCH, Done("Traceback: lost")), max_runs=1)
    assert query(url, "SELECT failure, error FROM v_runs WHERE status = 'failed'") == [
        ("error", "Traceback: lost")
    ]


def test_a_lost_worker_is_a_failure_of_its_own_kind(plan: Plan, store: Store, url: str) -> None:
    drive(plan, store, Scripted(Died(-9)), max_runs=1)
    assert query(url, "SELECT failure, error FROM v_runs WHERE status = 'failed'") == [
        ("worker_died", "the worker process ended with exit code -9")
    ]


def test_an_interrupted_driver_gives_its_runs_back(
    plan: Plan, store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Recorder, cell: Cell, epoch: Epoch) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Recorder, "epoch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        drive(plan, store, instant())
    counts = dict(query(url, "SELECT status, COUNT(*) FROM v_runs GROUP BY status"))
    assert counts == {"stopped": 1, "planned": 5}
    monkeypatch.undo()
    assert len(drive(plan, store, instant()).order) == len(plan.cells)


def test_a_run_of_a_dead_process_is_taken_over_at_once(plan: Plan, store: Store, url: str) -> None:
    me = store._owner
    store._owner = Owner(me.host, me.pid, me.started - 100)
    assert store.claim([str(cell.run_key) for cell in plan.cells])
    store._owner = me
    assert len(drive(plan, store, instant()).order) == len(plan.cells)
    assert query(url, "SELECT outcome, error FROM attempts WHERE outcome = 'stopped'") == [
        ("stopped", "its process is gone")
    ]


def test_a_run_elsewhere_is_taken_over_only_after_a_lease_without_a_heartbeat(
    plan: Plan, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_module, "LEASE_SECONDS", 0.6)
    monkeypatch.setattr(driver_module, "POLL_SECONDS", 0.1)
    me, key = store._owner, str(plan.cells[0].run_key)
    store._owner = Owner("elsewhere/boot", 1, 1.0)
    claim = store.claim([key])
    assert claim is not None
    store._owner = me
    alive, started = 8, time.monotonic()

    def renewing(self: Recorder, text: str) -> None:
        nonlocal alive
        if alive:
            alive -= 1
            store.renew([claim])

    monkeypatch.setattr(Recorder, "note", renewing)
    recorder = drive(plan, store, instant())
    assert recorder.order[-1] == ("none", 1), "the others first, then the one that was lost"
    assert alive == 0, "not before its heartbeat stopped"
    assert time.monotonic() - started > 0.6


def test_a_run_that_was_taken_over_meanwhile_is_dropped(
    plan: Plan, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = str(plan.cells[0].run_key)
    add_epoch, thief = store.add_epoch, Store(str(store._engine.url))

    def stolen(claim: Any, epoch: Epoch) -> None:
        if claim.run_key == key and claim.attempt == 1:
            thief.take_back(key, claim.token)
        add_epoch(claim, epoch)

    monkeypatch.setattr(store, "add_epoch", stolen)
    recorder = drive(plan, store, instant())
    assert any("taken over by another process" in note for note in recorder.notes)
    assert len(recorder.results) == len(plan.cells), "and trained again by whoever claims it"


def cli(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "ABLATE_CACHE": str(cwd / "cache")}
    return subprocess.Popen(
        [sys.executable, "-m", "ablate", *arguments],
        cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_killed_in_the_middle_and_started_again_it_finishes_the_rest(tmp_path: Path) -> None:
    """Once with SIGKILL, once with SIGTERM, and then left in peace: real training, real database."""
    study = Path(__file__).parent.parent / "studies" / "digits.toml"
    options = [
        "run",
        str(study),
        "--db",
        "r.db",
        "--device",
        "cpu",
        "--seeds",
        "1",
        "--workers",
        "2",
    ]
    options += ["--set", "recipe.epochs=2", "--max-runs", "3"]
    epochs = 0
    for sign, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 130)):
        with cli(*options, cwd=tmp_path) as process:
            epochs = wait_for_attempts(tmp_path / "r.db", epochs + 2)
            process.send_signal(sign)
            assert process.wait(60) == code
    with cli(*options, cwd=tmp_path) as last:
        output, errors = last.communicate(timeout=300)
        assert last.returncode == 0, errors
    assert "Traceback" not in errors
    url = f"sqlite:///{tmp_path / 'r.db'}"
    finished = query(url, "SELECT epochs FROM v_runs WHERE status = 'finished'")
    assert len(finished) >= 3, output
    assert set(finished) == {(2,)}
    assert query(url, "SELECT COUNT(*) FROM v_runs WHERE status = 'running'") == [(0,)]
    outcomes = dict(query(url, "SELECT outcome, COUNT(*) FROM attempts GROUP BY outcome"))
    assert outcomes["stopped"] == 4, "two runs were under way at each kill"
    assert len(query(url, "SELECT DISTINCT variant FROM v_costs WHERE mode = 'train'")) == len(
        finished
    )


def wait_for_attempts(path: Path, attempts: int, seconds: float = 120) -> int:
    """Wait until that many attempts were begun and the newest run has an epoch; returns how many."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(sqlite3.OperationalError):
            url = f"sqlite:///{path}"
            [(begun,)] = query(url, "SELECT COUNT(*) FROM attempts")
            trained = query(url, "SELECT 1 FROM v_runs WHERE status = 'running' AND epochs > 0")
            if begun >= attempts and trained:
                return int(begun)
        time.sleep(0.02)
    pytest.fail("no epoch was stored in time")
