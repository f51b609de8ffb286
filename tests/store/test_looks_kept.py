"""Looks in the database: once for each set of runs, carried along, and no error where nobody may write."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import claim_one, rows_of
from sqlalchemy.exc import OperationalError

from ablate.plan import Plan
from ablate.result import Failed, Finished
from ablate.stats.looks import ANYTIME, FIXED, Look
from ablate.store.progress.status import StudyKey
from ablate.store.reading.frames import read_frames
from ablate.store.reading.samples import similar_samples
from ablate.store.transfer.export import export_database
from ablate.store.transfer.imports import import_folder
from ablate.store.transfer.merge import merge_databases
from ablate.store.writing import looks
from ablate.store.writing.looks import new_look, record_look
from ablate.store.writing.store import Store

SECONDS = itertools.count()
Opener = Callable[[str], Store]


@pytest.fixture
def url(any_url: str) -> str:
    return any_url


@pytest.fixture
def store(url: str, plan: Plan, open_store: Opener) -> Store:
    made = open_store(url)
    made.register(plan)
    return made


def key_of(plan: Plan) -> StudyKey:
    return plan.study.name, str(plan.dataset.content_hash()), plan.study.setting


def look(*run_keys: str, rule: str = FIXED, margin: float | None = None) -> Look:
    made = new_look(rule, "report", {"none": 2}, {"none": 5}, margin, 1, run_keys)
    return replace(made, looked_at=f"2030-01-01T00:00:{next(SECONDS):02d}.000Z")


def train(store: Store, plan: Plan, bits: bytes = b"\xf0", count: int = 99) -> list[str]:
    """Finish runs, in the plan's order; returns their keys."""
    done = []
    while len(done) < count and (
        claim := claim_one(store, [str(cell.run_key) for cell in plan.cells])
    ):
        accuracy = int.from_bytes(bits).bit_count() / 8
        store.finish(claim, Finished(0.5, accuracy, 1.0, bits, 1.0, 1.0, "none", "fp32"), {})
        done.append(claim.run_key)
    return done


@pytest.mark.slow
def test_a_look_is_stored_once_for_each_set_of_runs(store: Store, plan: Plan, url: str) -> None:
    key = key_of(plan)
    assert store.add_look(key, look("a", "b"))
    assert not store.add_look(key, look("b", "a")), "nothing has finished since"
    assert store.add_look(key, look("a", "b", "c"))
    assert store.add_look(key, look("a", "b", "c", rule=ANYTIME))
    assert store.add_look(key, look("a", "b", "c", rule=ANYTIME, margin=0.01))
    found = store.looks(key)
    assert [each.rule for each in found] == [FIXED, FIXED, ANYTIME, ANYTIME]
    assert found[0].n == {"none": 2}
    assert store.looks(("another", *key[1:])) == ()
    frames = read_frames(url, plan.study.name, plan.study.setting)
    assert frames.looks == found
    shown = rows_of(url, "SELECT number, dataset, margin FROM v_looks ORDER BY number")
    assert shown == [
        (1, "digits", None),
        (2, "digits", None),
        (3, "digits", None),
        (4, "digits", 0.01),
    ]


def test_a_look_that_cannot_be_stored_is_no_error(
    sqlite_url: str, plan: Plan, open_store: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(sqlite_url).register(plan)
    key = key_of(plan)
    assert record_look(sqlite_url, key, look("a")) is None
    missing = record_look(f"sqlite:///{tmp_path / 'none.db'}", key, look("a", "b"))
    assert missing is not None
    assert not (tmp_path / "none.db").exists()
    read_only = sqlite3.OperationalError("attempt to write a readonly database")

    def refuse(*_: object) -> None:
        raise OperationalError("INSERT", {}, read_only)

    monkeypatch.setattr(looks, "add_look", refuse)
    why = record_look(sqlite_url, key, look("a", "b"))
    assert why is not None
    assert "attempt to write a readonly database" in why


@pytest.mark.slow
def test_looks_go_along_with_their_study(
    sqlite_url: str, plan: Plan, open_store: Opener, tmp_path: Path
) -> None:
    store, key = open_store(sqlite_url), key_of(plan)
    store.register(plan)
    store.add_look(key, look("a"))
    store.add_look(("other", *key[1:]), look("a"))
    export_database(sqlite_url, tmp_path / "out", "csv", {}, plan.study.name)
    copy = f"sqlite:///{tmp_path / 'copy.db'}"
    import_folder(tmp_path / "out", copy)
    other = open_store(copy)
    assert other.looks(key) == store.looks(key)
    assert other.looks(("other", *key[1:])) == ()
    later = replace(look("a", "b"), looked_at="2031-01-01T00:00:00.000Z")
    other.add_look(key, later)
    merge_databases(sqlite_url, [copy])
    assert store.looks(key) == other.looks(key), "each of them once"
    assert json.loads(rows_of(sqlite_url, "SELECT n FROM v_looks WHERE number = 2")[0][0]) == {
        "none": 2
    }


def test_a_study_stands_where_its_runs_are(store: Store, plan: Plan) -> None:
    first, second, *_ = plan.cells
    train(store, plan, count=1)
    claim = claim_one(store, [str(second.run_key)])
    assert claim is not None
    store.fail(claim, Failed("diverged", "nan"))
    standing = store.standing(key_of(plan))
    assert list(standing.samples) == list(plan.variants), "those without a run too"
    sample = standing.samples[first.variant.name]
    assert sample.scores == {1: 0.5}
    assert sample.correct[1].tolist() == [True] * 4 + [False] * 4
    assert standing.failed == {second.variant.name: frozenset({1})}
    assert standing.over(second.variant.name) == {1}
    assert standing.finished == (first.run_key,)


def test_what_was_trained_of_other_studies_tells_how_runs_vary(
    store: Store, plan: Plan, url: str
) -> None:
    train(store, plan)
    content, recipe = str(plan.dataset.content_hash()), plan.study.recipe.model_dump(mode="json")
    found = similar_samples(url, content, plan.study.backbone, recipe)
    assert set(found) == {each.fingerprint for each in plan.variants.values()}
    assert {len(each.seeds) for each in found.values()} == {2}
    another = {**recipe, "epochs": 99}
    assert similar_samples(url, content, plan.study.backbone, another).keys() == found.keys()
    assert similar_samples(url, content, "another", recipe) == {}
    assert similar_samples(url, "0" * 64, plan.study.backbone, recipe) == {}


def test_of_very_many_runs_the_first_seeds_tell_how_runs_vary(
    store: Store, plan: Plan, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(store, plan)
    monkeypatch.setattr("ablate.store.reading.samples.ENOUGH_RUNS", 1)
    monkeypatch.setattr("ablate.store.reading.samples.ENOUGH_SEEDS", 1)
    content, recipe = str(plan.dataset.content_hash()), plan.study.recipe.model_dump(mode="json")
    found = similar_samples(url, content, plan.study.backbone, recipe)
    assert {each.seeds for each in found.values()} == {frozenset({1})}


def test_looks_move_with_runs_whose_network_is_written_otherwise(store: Store, plan: Plan) -> None:
    store.add_look(key_of(plan), look("a"))
    written = replace(plan, study=plan.study.model_copy(update={"backbone": "cbam_cnn(width=1)"}))
    assert key_of(written) != key_of(plan)
    store.register(written)
    assert len(store.looks(key_of(written))) == 1
    assert store.looks(key_of(plan)) == ()
