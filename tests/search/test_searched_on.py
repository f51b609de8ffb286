"""A search that goes on where something is another: its baseline, its device, its runs, its database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import claim_one, rows_of, study_document
from support.search_processes import (
    EPOCHS,
    PARAMETERS,
    Instant,
    accuracy,
    make_searcher,
    run_search,
    search_plan,
)
from test_speeds_of_a_search import AMP, HERE, SPACE, cost, measure

from ablate.plan import Plan, make_plan
from ablate.result import Failed, Finished
from ablate.search.record import finished_trials, read_search
from ablate.search.searcher import Searcher
from ablate.store.maintenance.removal import delete_study
from ablate.store.transfer.export import export_database
from ablate.store.transfer.imports import import_folder
from ablate.store.writing.store import Store
from ablate.store.writing.trials import TrialState
from ablate.study.file import parse_study

pytestmark = pytest.mark.slow

BOUND = {"parameters": {"at_most": 1.04, "of_baseline": True}}
WIDE = {"attention": "se", "position": ["pool*", "pool1"], "reduction": [2, 32]}
"""Of these four networks the first alone is out of that bound."""


def wide(baseline: str = "none", name: str = "test", **search: Any) -> Plan:
    table = {"parameters": WIDE, "sampler": "grid", "trials": 4, "seeds": 1, "racing": False}
    grid = [{"attention": "none"}, {"attention": "se", "position": "pool*", "reduction": 2}]
    document = study_document(
        backbone="cbam_cnn", grid=grid[: 1 if baseline == "none" else 2], baseline=baseline,
        recipe={"epochs": EPOCHS},
    )  # fmt: skip
    found = {"constraints": BOUND, **table, **search}
    return make_plan(parse_study({**document, "name": name, "search": found}, "test"))


def states(searcher: Searcher) -> list[TrialState]:
    return [row.state for row in searcher.trials]


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'r.db'}"


def add_run(folder: Path, run_key: str, result: Finished | Failed) -> None:
    store = Store(url(folder))
    claim = claim_one(store, [run_key])
    assert claim is not None
    if isinstance(result, Finished):
        store.finish(claim, result, {})
    else:
        store.fail(claim, result, {})
    store.close()


def result(value: float) -> Finished:
    return Finished(value, 0.5, 1.0, b"\xf0", 1.0, 100.0, "m", "fp32")


def test_trials_without_a_run_travel_with_their_study(tmp_path: Path) -> None:
    """Exported and imported a search is whole: it asks for nothing that it had."""
    plan, there = wide(), tmp_path / "there"
    first = run_search(plan, tmp_path, Instant()).searcher
    assert states(first) == ["infeasible", "complete", "complete", "complete"]
    export_database(url(tmp_path), tmp_path / "out", "csv", {}, "test")
    there.mkdir()
    import_folder(tmp_path / "out", url(there))
    executor = Instant()
    again = run_search(plan, there, executor).searcher
    assert again.trials == first.trials
    assert executor.trained == []


def test_numbers_that_a_database_lacks_stop_nobody(tmp_path: Path) -> None:
    """As an export of an earlier version left it."""
    plan = wide(trials=3)
    run_search(plan, tmp_path, Instant())
    rows_of(url(tmp_path), "DELETE FROM trials WHERE number = 0")
    searcher = make_searcher(plan, tmp_path)
    search = plan.study.search
    assert search is not None
    told = read_search(searcher.parts.store, searcher.parts.key, search)
    assert told is not None
    assert [trial.number for trial in told.trials] == [1, 2]
    mirror = searcher.parts.mirror
    assert [t.state.name for t in mirror.study.trials] == ["FAIL", "COMPLETE", "COMPLETE"]
    after = run_search(wide(trials=4), tmp_path, Instant()).searcher
    assert [row.number for row in after.trials] == [1, 2, 3, 4]
    assert [t.state.name for t in after.parts.mirror.study.trials] == [
        "FAIL", "COMPLETE", "COMPLETE", "PRUNED", "COMPLETE"
    ]  # fmt: skip


def test_another_baseline_judges_every_trial_anew(tmp_path: Path) -> None:
    large, plain, said = wide("se(pool*, r=2)"), wide(), list[str]()
    first = run_search(large, tmp_path, Instant()).searcher
    assert set(states(first)) == {"complete"}
    narrow = run_search(plain, tmp_path, Instant(), said).searcher
    assert narrow.parts.key == first.parts.key
    assert states(narrow) == ["infeasible", "complete", "complete", "complete"]
    assert set(narrow.finished) == {1, 2, 3}
    assert "judged by the present baseline, speeds and runs: 1 trial out of bounds now" in said
    search = plain.study.search
    assert search is not None
    by_large = large.variants["se(pool*, r=2)"].fingerprint
    store = make_searcher(plain, tmp_path).parts.store
    told = read_search(store, narrow.parts.key, search, baseline=by_large)
    assert told is not None
    assert {t.number for t in told.trials} == {1, 2, 3}, "what is to be tried again has not ended"
    executor = Instant()
    back = run_search(large, tmp_path, executor).searcher
    assert set(states(back)) == {"complete"}
    assert back.finished == first.finished
    assert executor.trained == [], "its runs are there"


def test_a_report_by_another_baseline_tells_what_breaks_its_bounds(tmp_path: Path) -> None:
    large = wide("se(pool*, r=2)")
    searcher = run_search(large, tmp_path, Instant()).searcher
    store, search = make_searcher(large, tmp_path).parts.store, large.study.search
    assert search is not None
    plain = large.variants["none"].fingerprint
    told = read_search(store, searcher.parts.key, search, baseline=plain)
    assert told is not None
    assert [t.state for t in told.trials] == ["infeasible", "complete", "complete", "complete"]
    assert told.candidates == 3


def test_another_device_judges_bounds_on_speed_anew(tmp_path: Path) -> None:
    bound = {"images_per_second": {"at_least": 50}}
    plan = search_plan(
        parameters=SPACE, constraints=bound, objectives=["val_accuracy"], trials=3, seeds=1,
        sampler="grid", confirm=1,
    )  # fmt: skip
    searcher = make_searcher(plan, tmp_path)
    cells = searcher.parts.cell_of.all()
    baseline = plan.variants[plan.study.baseline]
    searcher.parts.store.add_architectures([*(c.architecture for c in cells), baseline])
    marks = [baseline.fingerprint, *(cell.architecture.fingerprint for cell in cells)]
    for place, speeds in ((HERE, (90, 90, 10, 90)), (AMP, (90, 10, 90, 90))):
        measure(url(tmp_path), *(cost(f, s, place) for f, s in zip(marks, speeds, strict=True)))
    first = run_search(plan, tmp_path, Instant(), place=HERE).searcher
    assert states(first) == ["complete", "infeasible", "complete"]
    executor = Instant()
    moved = run_search(plan, tmp_path, executor, place=AMP).searcher
    assert states(moved) == ["infeasible", "complete", "complete"]
    assert len(executor.trained) == 1, "the one that was out of bounds"
    # The same place, measured anew.
    measure(url(tmp_path), *(cost(f, 90, AMP) for f in marks))
    assert states(make_searcher(plan, tmp_path, place=AMP)) == states(moved), (
        "they keep their speeds"
    )


def test_optunas_copy_has_the_speeds_of_the_device_too(tmp_path: Path) -> None:
    plan = search_plan(
        parameters=SPACE, objectives=["val_accuracy", "images_per_second"], trials=3, seeds=1,
        sampler="grid",
    )  # fmt: skip
    searcher = make_searcher(plan, tmp_path)
    cells = searcher.parts.cell_of.all()
    baseline = plan.variants[plan.study.baseline]
    searcher.parts.store.add_architectures([*(c.architecture for c in cells), baseline])
    marks = [baseline.fingerprint, *(cell.architecture.fingerprint for cell in cells)]
    for place, speed in ((HERE, 10.0), (AMP, 20.0)):
        measure(url(tmp_path), *(cost(f, speed, place) for f in marks))
    run_search(plan, tmp_path, Instant(), place=HERE)
    moved = make_searcher(plan, tmp_path, place=AMP)
    assert [t.values[1] for t in moved.parts.mirror.study.trials] == [20.0] * 3
    assert {row.against.speed for row in moved.trials if row.against} == {20.0}


class Failing(Instant):
    """Every run of these variants ends with an error."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self._part = part

    def wait(self, timeout_seconds: float) -> list[tuple[str, Any]]:
        _, job = self._jobs[0]
        broken = {run.run_key for run in job.runs if self._part in run.variant.name}
        found = super().wait(timeout_seconds)
        kept = [e for e in found if not (isinstance(e[1], tuple) and e[1][0] in broken)]
        job_id = found[-1][0]
        return [*((job_id, (key, Failed("error", "it broke"))) for key in broken), *kept]


def test_a_trial_that_failed_is_tried_again_when_asked(tmp_path: Path) -> None:
    plan, said = wide(trials=2), list[str]()
    run_search(plan, tmp_path, Failing("pool*, r=32"), said)
    assert "trial 1: se(pool*, r=32): seed 1 failed: it broke; 1 of 1 runs trained" in said
    assert states(make_searcher(plan, tmp_path)) == ["infeasible", "failed"]
    executor = Instant()
    retried = run_search(plan, tmp_path, executor, retries=None).searcher
    assert states(retried) == ["infeasible", "complete"]
    assert len(executor.trained) == 1
    assert [len(row.trained) for row in retried.trials] == [0, 1], "and is counted once"


def test_a_run_that_another_command_trained_again_clears_its_trial(tmp_path: Path) -> None:
    plan = wide(trials=2)
    failed = run_search(plan, tmp_path, Failing("pool*, r=32")).searcher.trials[1]
    store = Store(url(tmp_path))
    store.retry_failed(failed.run_keys)
    store.close()
    add_run(tmp_path, failed.run_keys[0], result(0.75))
    after = run_search(plan, tmp_path, Instant()).searcher
    assert after.finished == {1: ((0.75,), (0.75,))}


def test_a_run_that_fails_again_is_not_tried_without_end(tmp_path: Path) -> None:
    plan = wide(trials=2)
    run_search(plan, tmp_path, Failing("pool*, r=32"))
    executor = Failing("pool*, r=32")
    again = run_search(plan, tmp_path, executor, retries=None).searcher
    assert states(again) == ["infeasible", "failed"]
    assert len(executor.trained) == 1


def test_a_run_is_named_by_its_study_before_a_trial_counts_on_it(tmp_path: Path) -> None:
    """Another study that had it trained may be deleted while the trial's other seeds are."""
    run_search(wide(name="other", seeds=1, trials=2), tmp_path, Instant())
    searcher = make_searcher(wide(seeds=2, trials=2), tmp_path)
    cells, _ = searcher.more(1)
    assert [cell.seed for cell in cells] == [2], "the first is taken from results"
    removal = delete_study(url(tmp_path), "other")
    taken = searcher.trials[1].run_keys
    assert len(taken) == 1
    assert not set(taken) & set(removal.runs)
    add_run(tmp_path, str(cells[0].run_key), result(0.5))
    searcher.more(1)
    first = accuracy("se(pool*, r=32)", 1)
    assert searcher.finished[1][0] == (pytest.approx(first), 0.5)


def test_a_trial_without_one_of_its_values_is_not_complete(tmp_path: Path) -> None:
    """As deleting a study left it in earlier versions: no reader takes 0, or the mean of the others."""
    plan = wide(seeds=2, trials=2)
    whole = run_search(plan, tmp_path, Instant()).searcher
    gone = whole.trials[1].run_keys[0]
    rows_of(url(tmp_path), "UPDATE runs SET status = 'planned', val_accuracy = NULL WHERE seed = 1")
    search, store = plan.study.search, make_searcher(wide(name="x"), tmp_path).parts.store
    assert search is not None
    assert finished_trials(store, search, whole.trials) == {}
    told = read_search(store, whole.parts.key, search)
    assert told is not None
    assert [trial.values for trial in told.trials] == [None, None]
    executor = Instant()
    mended = run_search(plan, tmp_path, executor).searcher
    assert executor.trained == [gone]
    assert mended.finished == whole.finished


def test_nothing_is_pruned_after_its_last_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = search_plan(
        pruner="median", trials=2, seeds=2, sampler="grid", parameters={**PARAMETERS, "attention": "cbam"}
    )  # fmt: skip
    said = list[str]()
    searcher = make_searcher(plan, tmp_path, said)
    monkeypatch.setattr(searcher.parts.mirror, "report", lambda *_: True)
    cells, _ = searcher.more(1)
    key = str(cells[0].run_key)
    assert not searcher.learned(key, EPOCHS, 0.1), "all of it has been trained"
    assert states(searcher) == ["running"]
    assert searcher.learned(key, EPOCHS - 1, 0.1)
    assert states(searcher) == ["pruned"]
    assert said[-1].endswith("pruned after epoch 1 of 2 of its first seed")
