"""What a run costs a driver in statements, whatever the size of its study, and what is stored together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import rows_of, small_plan
from test_driver import EPOCH, FINISHED, Recorder, Scripted

from ablate.drive import open_runs, takeover
from ablate.drive.driver import Driver
from ablate.drive.open_runs import OpenRuns
from ablate.drive.options import TrainingOptions
from ablate.execute import Done
from ablate.plan import Plan
from ablate.result import Failed, Finished
from ablate.store.connection.address import files_folder
from ablate.store.writing import attempts, queue
from ablate.store.writing.store import Report, Store


class AllAtOnce(Scripted):
    """Ten slots, whose jobs all end in one moment."""

    slots = 10

    def wait(self, timeout_seconds: float) -> list[tuple[str, Any]]:
        events = []
        while self._jobs:
            events += super().wait(timeout_seconds)
        return events


@pytest.fixture(scope="module")
def plan() -> Plan:
    return small_plan(seeds=20, recipe={"epochs": 1, "augment": []})


@pytest.fixture
def keys(plan: Plan) -> list[str]:
    return [str(cell.run_key) for cell in plan.cells]


@pytest.fixture
def store(any_url: str, plan: Plan, open_store: Callable[[str], Store]) -> Store:
    made = open_store(any_url)
    made.register(plan)
    return made


def drive(plan: Plan, store: Store) -> Recorder:
    recorder, how = Recorder(), TrainingOptions(device="cpu")
    Driver(plan, store, AllAtOnce(EPOCH, FINISHED, Done()), recorder, how).run()
    return recorder


def test_runs_that_come_together_are_stored_together(
    plan: Plan, store: Store, any_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    transact = attempts.transact

    def counted(*args: Any, writes: bool, **rest: Any) -> Any:
        written.extend([1] * writes)
        return transact(*args, writes=writes, **rest)

    for part in (queue, attempts):
        monkeypatch.setattr(part, "transact", counted)
    recorder = drive(plan, store)
    assert len(recorder.results) == len(plan.cells) == 60
    assert rows_of(any_url, "SELECT DISTINCT status, epochs FROM v_runs") == [("finished", 1)]
    assert len(written) == 2 * 60 / 10, "a claim and a report for each ten runs"


def test_an_attempt_that_lost_its_run_takes_nothing_of_the_others_along(
    plan: Plan, store: Store, any_url: str, keys: list[str]
) -> None:
    claims = store.claim_cohort(keys, 3, lambda _: 0)
    store.take_back(keys[1], claims[1].token)
    reports = [Report(claim, event, {}) for claim in claims for event in (EPOCH, FINISHED)]
    assert store.report(reports) == {keys[1]}
    assert rows_of(any_url, "SELECT COUNT(*) FROM epochs") == [(2,)]
    finished = rows_of(
        any_url, "SELECT run_key FROM v_runs WHERE status = 'finished' ORDER BY ordinal"
    )
    assert finished == [(keys[0],), (keys[2],)]


def test_reports_that_were_stored_already_change_nothing(
    plan: Plan, store: Store, any_url: str, keys: list[str]
) -> None:
    """As after a commit of which nobody heard."""
    claims = store.claim_cohort(keys, 2, lambda _: 0)
    reports = [Report(claim, FINISHED, {}) for claim in claims]
    assert store.report(reports) == set()
    before = rows_of(any_url, "SELECT * FROM runs ORDER BY run_key")
    assert store.report(reports) == set()
    assert rows_of(any_url, "SELECT * FROM runs ORDER BY run_key") == before


def test_results_that_came_before_an_interrupt_are_stored(
    plan: Plan, store: Store, any_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, calls = store.report, []

    def interrupted(reports: Sequence[Report], *rest: Any) -> set[str]:
        calls.append(len(reports))
        if len(calls) == 1:
            raise KeyboardInterrupt
        return report(reports, *rest)

    monkeypatch.setattr(store, "report", interrupted)
    with pytest.raises(KeyboardInterrupt):
        drive(plan, store)
    counts = dict(rows_of(any_url, "SELECT status, COUNT(*) FROM v_runs GROUP BY status"))
    assert counts == {"finished": 10, "planned": 50}


@pytest.fixture
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_runs, "WINDOW", 4)


def begun(_run_key: str) -> None:
    return None


@pytest.mark.slow
@pytest.mark.usefixtures("_narrow")
def test_a_claim_looks_at_a_window_and_finds_every_run_in_order(
    store: Store, keys: list[str]
) -> None:
    runs = OpenRuns(store, keys)
    found = []
    while cohorts := runs.claim([1, 1, 1], lambda _: 0, begun):
        found += [claim.run_key for cohort in cohorts for claim in cohort]
    assert found == keys


@pytest.mark.slow
@pytest.mark.usefixtures("_narrow")
def test_what_others_have_ended_is_passed_over_and_what_they_train_is_not_forgotten(
    store: Store, keys: list[str]
) -> None:
    runs = OpenRuns(store, keys)
    theirs = store.claim_cohort(keys, 9, lambda _: 0)
    for claim in theirs[:5]:
        store.finish(claim, FINISHED, {})
    [[claim]] = runs.claim([1], lambda _: 0, begun)
    assert claim.run_key == keys[9]
    assert runs.ready() >= len(keys) - 10
    store.stop(theirs[7])
    [[again]] = runs.claim([1], lambda _: 0, begun)
    assert again.run_key == keys[7]


@pytest.mark.slow
def test_runs_that_another_command_has_trained_again_are_not_left_out(
    plan: Plan, store: Store, keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    [failed] = store.claim_cohort(keys, 1, lambda _: 0)
    store.fail(failed, Failed("error", "no good"))
    running = store.running

    def meanwhile(run_keys: Any) -> Any:
        store.retry_failed(keys[:1])  # when nothing else is left
        return running(run_keys)

    recorder, how = Recorder(), TrainingOptions(device="cpu")
    driver = Driver(plan, store, AllAtOnce(EPOCH, FINISHED, Done()), recorder, how)
    driver._takeover.watch_sometimes = lambda _ours: None  # type: ignore[method-assign]
    monkeypatch.setattr(store, "running", meanwhile)
    driver.run()
    assert isinstance(recorder.results[keys[0]], Finished)


def test_a_heartbeat_moves_the_attempts_that_hold_their_runs(
    store: Store, any_url: str, keys: list[str]
) -> None:
    claims = store.claim_cohort(keys, 3, lambda _: 0)
    store.take_back(keys[0], claims[0].token)
    [other] = store.claim_cohort(keys[:1], 1, lambda _: 0)
    store.renew(claims)
    beats = dict(rows_of(any_url, "SELECT run_key, heartbeat FROM runs"))
    assert [beats[key] for key in keys[:4]] == [0, 1, 1, 0]
    assert other.attempt == 2


def test_the_files_beside_a_finished_run_are_swept(
    store: Store, keys: list[str], tmp_path: Path
) -> None:
    [claim, other] = store.claim_cohort(keys, 2, lambda _: 0)
    folder = files_folder(store._url) / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    left, others = (folder / f"{each.run_key}-00000000-1.safetensors" for each in (claim, other))
    left.touch()
    others.touch()
    store.finish(claim, FINISHED, {})
    assert not left.exists()
    assert others.exists()


def test_of_many_that_are_trained_each_watches_a_part_and_goes_round(
    store: Store, keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = {claim.run_key: claim for claim in store.claim_cohort(keys, 9, lambda _: 0)}
    while len(claims) < 9:
        claims |= {claim.run_key: claim for claim in store.claim_cohort(keys, 1, lambda _: 0)}
    trained = sorted(claims)
    assert set(store.running(keys)) == set(claims)
    assert list(store.running(keys, "", 4)) == trained[:4]
    assert list(store.running(keys, trained[3], 4)) == trained[4:8]
    assert list(store.running(keys, trained[7], 4)) == [trained[8], *trained[:3]]
    monkeypatch.setattr(takeover, "WATCHED", 4)
    monkeypatch.setattr(takeover, "ROUND_SECONDS", 0.0)
    watcher = takeover.TakeOver(store, keys)
    for _ in range(3):
        watcher.watch(())
    assert set(watcher._leases) == set(claims)
