"""The driver: exactly the missing runs, in order, whatever dies on the way."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import claim_one, small_plan

from ablate import driver as driver_module
from ablate import takeover, trial
from ablate.driver import Driver, HowToRun
from ablate.execute import make_executor
from ablate.execute.base import Died, Done, Executor, Job
from ablate.plan import Cell, Plan, make_plan
from ablate.result import Checkpoint, Epoch, Failed, Finished, Halved
from ablate.store.owner import Owner
from ablate.store.store import Store
from ablate.study_file import load_study
from ablate.trial import Cohort, Run


class Recorder:
    """A Progress that remembers what it was told."""

    def __init__(self) -> None:
        self.order: list[tuple[str, int]] = []
        self.results: dict[str, Finished | Failed] = {}
        self.notes: list[str] = []
        self.resumptions: list[tuple[str, int, int]] = []
        self.returned: list[str] = []
        self.epochs = 0

    def started(self, cell: Cell) -> None:
        self.order.append((cell.variant.name, cell.seed))

    def resumed(self, cell: Cell, epoch: int) -> None:
        self.resumptions.append((cell.variant.name, cell.seed, epoch))

    def given_back(self, cell: Cell, why: str) -> None:
        self.returned.append(cell.variant.name)

    def epoch(self, cell: Cell, epoch: Epoch) -> None:
        self.epochs += 1

    def ended(self, cell: Cell, result: Finished | Failed) -> None:
        self.results[str(cell.run_key)] = result

    def note(self, text: str) -> None:
        self.notes.append(text)


class Scripted(Executor):
    """One slot; every run of a job ends at once with the same events, and nothing is trained."""

    slots = 1

    def __init__(self, *events: Any) -> None:
        self._events = events
        self._job: str | None = None
        self.cohorts: list[Cohort] = []

    @property
    def free(self) -> int:
        return self.slots if self._job is None else 0

    def submit(self, job_id: str, job: Job) -> None:
        assert isinstance(job, Cohort)
        self._job = job_id
        self.cohorts.append(job)

    def wait(self, timeout_seconds: float) -> list[tuple[str, Any]]:
        job_id, self._job = str(self._job), None
        run_events = [e for e in self._events if not isinstance(e, Done | Died)]
        ends = [e for e in self._events if isinstance(e, Done | Died)]
        keys = [run.run_key for run in self.cohorts[-1].runs]
        return [(job_id, (key, e)) for e in run_events for key in keys] + [
            (job_id, end) for end in ends
        ]

    def cancel(self, job_id: str) -> None:
        self._job = None

    def close(self) -> None: ...


STUDIES = Path(__file__).parent.parent / "studies"
SAVED = "SELECT 1 FROM checkpoints c JOIN runs r USING (run_key) WHERE instr(c.file, substr(r.token, 1, 8))"
KERNELS = "SELECT attention, kernel FROM kernels"

EPOCH = Epoch(1, 2.0, 0.5, 1.9, 0.55, None, None, 1e-3, 2.0, 500.0)
FINISHED = Finished(0.55, 0.5, 1.8, b"\xf0", 4.0, 500.0, "a machine", "fp32")


def instant() -> Executor:
    return Scripted(EPOCH, FINISHED, Done())


def drive(plan: Plan, store: Store, executor: Executor | None = None, **options: Any) -> Recorder:
    recorder = Recorder()
    with executor or make_executor("inprocess", 1) as made:
        how = HowToRun(device="cpu", **options)
        Driver(plan, store, made, recorder, {"commit": "abc"}, how).run()
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


def seeds_of(job: Cohort, plan: Plan) -> set[int]:
    keys = {run.run_key for run in job.runs}
    return {cell.seed for cell in plan.cells if cell.run_key in keys}


def test_cohorts_are_of_one_seed_and_no_larger_than_asked(plan: Plan, store: Store) -> None:
    executor = instant()
    recorder = drive(plan, store, executor, cohort=2)
    assert [len(job.runs) for job in executor.cohorts] == [2, 1, 2, 1]
    assert [seeds_of(job, plan) for job in executor.cohorts] == [{1}, {1}, {2}, {2}]
    assert [job.seed for job in executor.cohorts] == [1, 1, 2, 2]
    assert len(recorder.results) == len(plan.cells)


def test_max_runs_counts_runs_and_not_cohorts(plan: Plan, store: Store) -> None:
    assert len(drive(plan, store, instant(), cohort=3, max_runs=4).order) == 4


def test_every_slot_gets_a_part_of_what_is_left(plan: Plan, store: Store) -> None:
    executor = instant()
    executor.slots = 2
    drive(plan, store, executor, cohort=8)
    assert len(executor.cohorts[0].runs) == 3, "six runs, two slots"


class Dying(Scripted):
    """Loses every process in which the run of that key is trained."""

    def __init__(self, run_key: str) -> None:
        super().__init__()
        self._run_key = run_key

    def wait(self, timeout_seconds: float) -> list[tuple[str, Any]]:
        lost = self._run_key in {run.run_key for run in self.cohorts[-1].runs}
        self._events = (EPOCH, Died(-6)) if lost else (EPOCH, FINISHED, Done())
        return super().wait(timeout_seconds)


def test_a_run_that_kills_its_process_fails_alone(plan: Plan, store: Store, url: str) -> None:
    executor = Dying(str(plan.cells[1].run_key))
    recorder = drive(plan, store, executor, cohort=3)
    assert [len(job.runs) for job in executor.cohorts] == [3, 1, 1, 1, 3]
    assert recorder.returned == ["none", "se(pool1, r=8)", "se(pool3, r=8)"]
    rows = query(url, "SELECT variant, seed, status FROM v_runs WHERE status <> 'finished'")
    assert rows == [("se(pool1, r=8)", 1, "failed")]


def test_after_a_halving_cohorts_stay_small(plan: Plan, store: Store) -> None:
    executor = Scripted(Halved(1), EPOCH, FINISHED, Done())
    drive(plan, store, executor, cohort=3)
    assert [len(job.runs) for job in executor.cohorts] == [3, 1, 1, 1]


def test_an_interrupted_run_goes_on_from_its_last_checkpoint(
    plan: Plan, store: Store, url: str
) -> None:
    two = replace(EPOCH, epoch=2)
    drive(plan, store, Scripted(EPOCH, Checkpoint(1, b"one"), two, Died(-9)), max_runs=1)
    store.retry_failed([str(plan.cells[0].run_key)])
    executor = instant()
    recorder = drive(plan, store, executor, max_runs=1)
    assert executor.cohorts[0].runs[0].start == b"one"
    assert recorder.resumptions == [("none", 1, 1)]


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
    assert claim_one(store, [str(cell.run_key) for cell in plan.cells])
    store._owner = me
    assert len(drive(plan, store, instant()).order) == len(plan.cells)
    assert query(url, "SELECT outcome, error FROM attempts WHERE outcome = 'stopped'") == [
        ("stopped", "its process is gone")
    ]


def test_a_run_elsewhere_is_taken_over_only_after_a_lease_without_a_heartbeat(
    plan: Plan, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takeover, "LEASE_SECONDS", 0.6)
    monkeypatch.setattr(driver_module, "POLL_SECONDS", 0.1)
    me, key = store._owner, str(plan.cells[0].run_key)
    store._owner = Owner("elsewhere/boot", 1, 1.0)
    claim = claim_one(store, [key])
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
    study = STUDIES / "digits.toml"
    options = f"run {study} --db r.db --device cpu --seeds 1 --workers 2 --cohort 2".split()
    options += ["--checkpoint-seconds", "0", "--set", "recipe.epochs=2", "--max-runs", "3"]
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
    assert outcomes["stopped"] >= 4, "cohorts of two and of one were under way at each kill"
    assert "goes on after epoch" in output
    for run_key, variant in query(url, "SELECT run_key, variant FROM v_runs WHERE epochs = 2"):
        weights = (tmp_path / "weights" / f"{run_key}.safetensors").read_bytes()
        assert weights == undisturbed(url, str(run_key)), f"{variant}: other bytes than in peace"
    assert len(query(url, "SELECT DISTINCT variant FROM v_costs WHERE mode = 'train'")) == len(
        finished
    )


def undisturbed(url: str, run_key: str) -> bytes:
    """The weights of a digits run that is trained here, by itself, without an interruption."""
    plan = make_plan(load_study(STUDIES / "digits.toml", ["recipe.epochs=2", "seeds=1"]))
    cell = next(cell for cell in plan.cells if cell.run_key == run_key)
    kernels = {str(name): str(path) for name, path in query(url, KERNELS)}
    run = Run(run_key, cell.variant, keep=True)
    job = Cohort((run,), cell.seed, plan.study.recipe, plan.dataset, "cpu", kernels)
    *_, (_, result) = job()
    assert isinstance(result, Finished)
    assert result.kept is not None
    return result.kept.weights


def wait_for_attempts(path: Path, attempts: int, seconds: float = 120) -> int:
    """Wait until that many attempts were begun and one has a checkpoint; returns how many."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(sqlite3.OperationalError):
            url = f"sqlite:///{path}"
            [(begun,)] = query(url, "SELECT COUNT(*) FROM attempts")
            trained = query(url, SAVED)
            if begun >= attempts and trained:
                return int(begun)
        time.sleep(0.02)
    pytest.fail("no epoch was stored in time")
