"""The driver: exactly the missing runs, in order, whatever dies on the way."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import claim_one, rows_of, small_plan
from support.pretend import Pretend

from ablate.drive import driver as driver_module
from ablate.drive import takeover
from ablate.drive.driver import Driver
from ablate.drive.options import TrainingOptions
from ablate.execute import make_executor
from ablate.execute.base import Died, Done, Executor, Job
from ablate.execute.local import LocalExecutor
from ablate.job import Cohort, Run, session
from ablate.plan import Cell, Plan, make_plan
from ablate.result import Checkpoint, Epoch, Failed, Finished, Halved
from ablate.store.writing.outcomes import NODE_TRIES
from ablate.store.writing.store import Store
from ablate.study.file import load_study
from ablate.system.process.owner import Owner


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
    """One slot; every run of a job ends at once with the same events, the job that came last is the first to
    end, and nothing is trained.
    """

    slots = 1

    def __init__(self, *events: Any) -> None:
        self._events = events
        self._jobs: dict[str, Cohort] = {}
        self.cohorts: list[Cohort] = []

    @property
    def free(self) -> int:
        return self.slots - len(self._jobs)

    def submit(self, job_id: str, job: Job) -> None:
        assert isinstance(job, Cohort)
        self._jobs[job_id] = job
        self.cohorts.append(job)

    def wait(self, timeout_seconds: float) -> list[tuple[str, Any]]:
        job_id, job = self._jobs.popitem()
        run_events = [e for e in self._events if not isinstance(e, Done | Died)]
        ends = [e for e in self._events if isinstance(e, Done | Died)]
        keys = [run.run_key for run in job.runs]
        return [(job_id, (key, e)) for e in run_events for key in keys] + [
            (job_id, end) for end in ends
        ]

    def cancel(self, job_id: str) -> None:
        self._jobs.pop(job_id, None)

    def close(self) -> None: ...


STUDIES = Path(__file__).parents[2] / "studies"
SMALL = "cbam_cnn(width=0.25)"
SAVED = "SELECT 1 FROM checkpoints c JOIN runs r USING (run_key) WHERE instr(c.file, substr(r.token, 1, 8))"
KERNELS = "SELECT subject, choice FROM choices WHERE decision = 'kernel'"

EPOCH = Epoch(1, 2.0, 0.5, 1.9, 0.55, None, None, 1e-3, 2.0, 500.0)
FINISHED = Finished(0.55, 0.5, 1.8, b"\xf0", 4.0, 500.0, "a machine", "fp32")


def instant() -> Executor:
    return Scripted(EPOCH, FINISHED, Done())


def drive(plan: Plan, store: Store, executor: Executor | None = None, **options: Any) -> Recorder:
    recorder = Recorder()
    with executor or make_executor("inprocess", 1) as made:
        how = TrainingOptions(device="cpu", **options)
        Driver(plan, store, made, recorder, how).run()
    return recorder


@pytest.fixture
def plan() -> Plan:
    """One epoch without augmentation: what matters here is who trains what, not how well."""
    return small_plan(backbone=SMALL, recipe={"epochs": 1, "batch_size": 256, "augment": []})


@pytest.fixture
def store(url: str, plan: Plan) -> Store:
    made = Store(url)
    made.register(plan)
    return made


def test_every_cell_is_trained_once_seed_by_seed(plan: Plan, store: Store, url: str) -> None:
    recorder = drive(plan, store)
    assert recorder.order == [(cell.variant.name, cell.seed) for cell in plan.cells]
    assert [seed for _, seed in recorder.order] == [1, 1, 1, 2, 2, 2]
    assert rows_of(url, "SELECT DISTINCT status, epochs, attempts FROM v_runs") == [
        ("finished", 1, 1)
    ]
    assert drive(plan, store).order == [], "run again, it trains nothing"


def test_max_runs_does_a_part_and_the_next_time_the_rest(plan: Plan, store: Store) -> None:
    first = drive(plan, store, instant(), max_runs=4).order
    second = drive(plan, store, instant()).order
    assert len(first) == 4
    assert first + second == [(cell.variant.name, cell.seed) for cell in plan.cells]
    assert drive(plan, store, instant(), max_runs=0).order == []


@pytest.mark.slow
def test_a_failed_run_stops_no_other(
    plan: Plan, store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = session.build

    def broken(variant: Any, *rest: Any) -> Any:
        if variant.position == "pool1":
            raise ValueError("no luck")
        return build(variant, *rest)

    monkeypatch.setattr(session, "build", broken)
    recorder = drive(plan, store)
    assert len(recorder.results) == len(plan.cells)
    rows = rows_of(url, "SELECT variant, failure, error FROM v_runs WHERE status = 'failed'")
    assert [(variant, kind) for variant, kind, _ in rows] == [("se(pool1, r=8)", "error")] * 2
    assert all("ValueError: no luck" in error for *_, error in rows)


def test_a_job_that_ends_without_a_result_has_failed(plan: Plan, store: Store, url: str) -> None:
    drive(plan, store, Scripted(EPOCH, Done("Traceback: lost")), max_runs=1)
    assert rows_of(url, "SELECT failure, error FROM v_runs WHERE status = 'failed'") == [
        ("error", "Traceback: lost")
    ]


def test_a_lost_worker_is_a_failure_of_its_own_kind(plan: Plan, store: Store, url: str) -> None:
    drive(plan, store, Scripted(Died(-9)), max_runs=1)
    error = "the worker process ended with exit code -9"
    assert rows_of(url, "SELECT failure, attempts, error FROM v_runs WHERE status = 'failed'") == [
        ("worker_died", 3, f"{error}; it was tried 3 times")
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


class Poisoned(LocalExecutor):
    """Real worker processes, which train nothing; the run of that key aborts its interpreter."""

    def __init__(self, run_key: str) -> None:
        super().__init__(1)
        self._run_key = run_key

    def submit(self, job_id: str, job: Job) -> None:
        assert isinstance(job, Cohort)
        keys = tuple(run.run_key for run in job.runs)
        super().submit(job_id, Pretend(keys, self._run_key, EPOCH, FINISHED))


class Dying(Scripted):
    """Loses every process in which the run of that key is trained."""

    def __init__(self, run_key: str, died: Died = Died(-6), times: int = 100) -> None:  # noqa: B008
        super().__init__()
        self._run_key, self._died, self._times = run_key, died, times

    def wait(self, timeout_seconds: float) -> list[tuple[str, Any]]:
        mine = sum(self._run_key in {run.run_key for run in job.runs} for job in self.cohorts)
        lost = (
            self._run_key in {run.run_key for run in self.cohorts[-1].runs} and mine <= self._times
        )
        self._events = (EPOCH, self._died) if lost else (EPOCH, FINISHED, Done())
        return super().wait(timeout_seconds)


def test_a_run_that_kills_its_process_fails_alone(plan: Plan, store: Store, url: str) -> None:
    executor = Dying(str(plan.cells[1].run_key))
    recorder = drive(plan, store, executor, cohort=3)
    assert [len(job.runs) for job in executor.cohorts] == [3, 1, 1, 1, 1, 3]
    assert recorder.returned == ["none", "se(pool1, r=8)", "se(pool3, r=8)", "se(pool1, r=8)"]
    rows = rows_of(url, "SELECT variant, seed, status FROM v_runs WHERE status <> 'finished'")
    assert rows == [("se(pool1, r=8)", 1, "failed")]


@pytest.mark.slow
def test_a_run_that_aborts_its_process_fails_and_the_grid_completes(
    plan: Plan, store: Store, url: str
) -> None:
    """With real processes."""
    key = str(plan.cells[1].run_key)
    drive(plan, store, Poisoned(key), cohort=3)
    rows = rows_of(url, "SELECT run_key, attempts, error FROM runs WHERE status <> 'finished'")
    assert rows == [
        (key, 3, "the worker process ended with exit code -6; it was tried 3 times"),
    ]


@pytest.mark.slow
def test_a_run_that_kills_its_process_is_tried_three_times_and_as_often_when_retried(
    plan: Plan, any_url: str, open_store: Callable[[str], Store]
) -> None:
    store, key = open_store(any_url), str(plan.cells[1].run_key)
    store.register(plan)
    for round_ in (1, 2):
        drive(plan, store, Dying(key), cohort=3)
        assert rows_of(any_url, "SELECT run_key, failure FROM runs WHERE status <> 'finished'") == [
            (key, "worker_died")
        ]
        said = "SELECT number, outcome, error FROM attempts WHERE run_key = 'KEY' ORDER BY number"
        tries = rows_of(any_url, said.replace("KEY", key))
        assert [outcome for _, outcome, _ in tries] == ["lost", "lost", "failed"] * round_
        assert all("ended with exit code -6" in error for *_, error in tries)
        assert store.retry_failed([str(cell.run_key) for cell in plan.cells]) == 1


def test_no_run_fails_because_machines_go_away_under_it(plan: Plan, store: Store, url: str) -> None:
    key = str(plan.cells[1].run_key)
    drive(plan, store, Dying(key, Died(None, "node", with_node=True), times=5), cohort=3)
    assert rows_of(url, "SELECT COUNT(*) FROM runs WHERE status <> 'finished'") == [(0,)]
    said = "SELECT outcome FROM attempts WHERE run_key = 'KEY' ORDER BY number"
    tries = rows_of(url, said.replace("KEY", key))
    assert [outcome for (outcome,) in tries] == ["node lost"] * 5 + ["finished"]


def test_a_run_under_which_every_machine_goes_away_fails_at_last(
    plan: Plan, store: Store, url: str
) -> None:
    key = str(plan.cells[1].run_key)
    drive(plan, store, Dying(key, Died(None, "node", with_node=True)), cohort=1)
    assert rows_of(url, "SELECT run_key, attempts, failure FROM runs WHERE status = 'failed'") == [
        (key, NODE_TRIES, "worker_died")
    ]


@pytest.mark.slow
def test_another_driver_trains_alone_what_lost_its_process(
    plan: Plan, any_url: str, open_store: Callable[[str], Store]
) -> None:
    store, keys = open_store(any_url), [str(cell.run_key) for cell in plan.cells]
    store.register(plan)
    lost, *_ = store.claim_cohort(keys, 3, lambda _: 0)
    assert store.lose(lost, "gone") is None
    other = open_store(any_url)
    assert [len(other.claim_cohort(keys, 3, lambda _: 0)) for _ in range(3)] == [1, 3, 0]


class Hanging(Scripted):
    """Runs of that key never end, those beside them do so only after an epoch."""

    def __init__(self, run_key: str) -> None:
        super().__init__()
        self._run_key = run_key
        self.cancelled = 0

    def wait(self, timeout_seconds: float) -> list[tuple[str, Any]]:
        if self._run_key not in {run.run_key for run in self.cohorts[-1].runs}:
            self._events = (EPOCH, FINISHED, Done())
            return super().wait(timeout_seconds)
        time.sleep(0.01)
        return []

    def cancel(self, job_id: str) -> None:
        self.cancelled += 1
        super().cancel(job_id)


@pytest.mark.slow
def test_a_run_that_takes_too_long_is_ended_and_the_others_go_on(
    plan: Plan, any_url: str, open_store: Callable[[str], Store]
) -> None:
    store, key = open_store(any_url), str(plan.cells[1].run_key)
    store.register(plan)
    executor = Hanging(key)
    started = time.monotonic()
    recorder = drive(plan, store, executor, cohort=3, run_timeout_seconds=0.1)
    assert time.monotonic() - started > 0.4, "the cohort for each of its runs, then the run alone"
    assert [len(job.runs) for job in executor.cohorts] == [3, 1, 1, 1, 3]
    assert executor.cancelled == 2
    assert len(recorder.results) == len(plan.cells)
    assert rows_of(any_url, "SELECT run_key, failure, error FROM runs WHERE status = 'failed'") == [
        (key, "timeout", "it took longer than 0.1 s (--run-timeout)")
    ]
    outcomes = rows_of(any_url, "SELECT outcome, COUNT(*) FROM attempts GROUP BY outcome")
    assert dict(outcomes) == {"late": 3, "failed": 1, "finished": 5}


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
        drive(plan, store, Scripted(EPOCH, Done()))
    counts = dict(rows_of(url, "SELECT status, COUNT(*) FROM v_runs GROUP BY status"))
    assert counts == {"stopped": 1, "planned": 5}
    monkeypatch.undo()
    assert len(drive(plan, store, instant()).order) == len(plan.cells)


@pytest.mark.slow
def test_a_run_of_a_dead_process_is_taken_over_at_once(
    plan: Plan, any_url: str, open_store: Callable[[str], Store]
) -> None:
    store = open_store(any_url)
    store.register(plan)
    me = store._owner
    store._owner = Owner(me.host, me.pid, me.started - 100)
    assert claim_one(store, [str(cell.run_key) for cell in plan.cells])
    store._owner = me
    assert len(drive(plan, store, instant()).order) == len(plan.cells)
    assert rows_of(any_url, "SELECT outcome, error FROM attempts WHERE outcome = 'stopped'") == [
        ("stopped", "its process is gone")
    ]


@pytest.mark.slow
def test_a_run_elsewhere_is_taken_over_only_after_a_lease_without_a_heartbeat(
    plan: Plan, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takeover, "LEASE_SECONDS", 1.5)
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
    assert time.monotonic() - started > 1.5


@pytest.mark.slow
def test_a_run_that_was_taken_over_meanwhile_is_dropped(
    plan: Plan,
    any_url: str,
    open_store: Callable[[str], Store],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, key = open_store(any_url), str(plan.cells[0].run_key)
    store.register(plan)
    report, thief = store.report, open_store(any_url)

    def stolen(reports: Any, *rest: Any) -> set[str]:
        for claim in {each.claim for each in reports}:
            if claim.run_key == key and claim.is_first:
                thief.take_back(key, claim.token)
        return report(reports, *rest)

    monkeypatch.setattr(store, "report", stolen)
    recorder = drive(plan, store, instant())
    assert any("taken over by another process" in note for note in recorder.notes)
    assert len(recorder.results) == len(plan.cells), "and trained again by whoever claims it"
    assert rows_of(any_url, "SELECT DISTINCT status, epochs FROM v_runs") == [("finished", 1)]


def cli(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "ABLATE_CACHE": str(cwd / "cache")}
    return subprocess.Popen(
        [sys.executable, "-m", "ablate", *arguments],
        cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.slow
def test_ended_in_the_middle_and_started_again_it_finishes_the_rest(tmp_path: Path) -> None:
    """Ended with SIGTERM, and then left in peace: real training, real database. SIGKILL is torture's."""
    study = STUDIES / "digits-grid.toml"
    options = f"run {study} --db r.db --device cpu --seeds 1 --workers 1 --cohort 2".split()
    options += ["--checkpoint-seconds", "0", "--set", "recipe.epochs=2", "--max-runs", "2"]
    options += ["--no-measure"]
    with cli(*options, cwd=tmp_path) as process:
        wait_for_attempts(tmp_path / "r.db", 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
    with cli(*options, cwd=tmp_path) as last:
        output, errors = last.communicate(timeout=300)
        assert last.returncode == 0, errors
    assert "Traceback" not in errors
    url = f"sqlite:///{tmp_path / 'r.db'}"
    finished = rows_of(url, "SELECT epochs FROM v_runs WHERE status = 'finished'")
    assert len(finished) == 2, output
    assert set(finished) == {(2,)}
    assert rows_of(url, "SELECT COUNT(*) FROM v_runs WHERE status = 'running'") == [(0,)]
    outcomes = dict(rows_of(url, "SELECT outcome, COUNT(*) FROM attempts GROUP BY outcome"))
    assert outcomes["stopped"] >= 2, "a cohort of two was under way when it was ended"
    assert "goes on after epoch" in output
    goes_on = "SELECT run_key FROM attempts GROUP BY run_key HAVING COUNT(*) > 1"
    for (run_key,) in rows_of(url, goes_on):
        weights = (tmp_path / "weights" / f"{run_key}.safetensors").read_bytes()
        assert weights == undisturbed(url, str(run_key)), f"{run_key}: other bytes than in peace"


def undisturbed(url: str, run_key: str) -> bytes:
    """The weights of a digits run that is trained here, by itself, without an interruption."""
    plan = make_plan(load_study(STUDIES / "digits-grid.toml", ["recipe.epochs=2", "seeds=1"]))
    cell = next(cell for cell in plan.cells if cell.run_key == run_key)
    kernels = {str(name): json.loads(path) for name, path in rows_of(url, KERNELS)}
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
            [(begun,)] = rows_of(url, "SELECT COUNT(*) FROM attempts")
            trained = rows_of(url, SAVED)
            if begun >= attempts and trained:
                return int(begun)
        time.sleep(0.02)
    pytest.fail("no epoch was stored in time")
