"""A search counts on runs that another study had trained, and nobody takes them away from under it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import claim_one, message, rows_of, study_document
from sqlalchemy import Connection, update
from support.search_processes import EPOCHS, Instant, make_searcher, run_search, search_plan

from ablate.errors import DatabaseError
from ablate.plan import Cell, Plan, make_plan
from ablate.result import Failed, Finished, RunStatus
from ablate.search.record import read_search
from ablate.store import schema
from ablate.store.connection.engine import WRITE, open_engine
from ablate.store.maintenance.removal import delete_study
from ablate.store.writing.store import Store
from ablate.study.file import parse_study

SPACE = {"attention": ["se"], "position": ["pool1"], "reduction": [4, 8]}
FINISHED = Finished(0.7, 0.5, 1.0, b"\xf0", 1.0, 100.0, "m", "fp32")


def _searched(**search: object) -> Plan:
    return search_plan(trials=2, seeds=2, sampler="grid", parameters=SPACE, **search)


def _url(folder: Path) -> str:
    return f"sqlite:///{folder / 'r.db'}"


def _train(folder: Path, cells: Sequence[Cell], result: Finished | Failed = FINISHED) -> None:
    store = Store(_url(folder))
    for cell in cells:
        claim = claim_one(store, [str(cell.run_key)])
        assert claim is not None
        if isinstance(result, Finished):
            store.finish(claim, result, {})
        else:
            store.fail(claim, result, {})
    store.close()


def _other(folder: Path) -> Plan:
    """A study `other` that has the first seed of each network of the search trained."""
    document = study_document(name="other", backbone="cbam_cnn", seeds=1, recipe={"epochs": EPOCHS})
    grid = [{"attention": "none"}, {"attention": "se", "position": "pool1", "reduction": [4, 8]}]
    plan = make_plan(parse_study({**document, "grid": grid}, "other"))
    store = Store(_url(folder))
    store.register(plan)
    store.close()
    _train(folder, [cell for cell in plan.cells if cell.variant.attention == "se"])
    return plan


def _set(folder: Path, run_keys: Sequence[str], **values: object) -> None:
    engine = open_engine(_url(folder), create=False)

    def write(connection: Connection) -> None:
        runs = schema.runs
        connection.execute(update(runs).where(runs.c.run_key.in_(run_keys)).values(**values))

    with engine.execution_options(**WRITE).begin() as connection:
        write(connection)
    engine.dispose()


@pytest.mark.slow
def test_what_a_trial_took_from_another_study_stays_when_that_is_deleted(tmp_path: Path) -> None:
    plan = _searched()
    _other(tmp_path)
    searcher = make_searcher(plan, tmp_path)
    cells, _ = searcher.more(1)
    assert [cell.seed for cell in cells] == [2], "the first seed is there"
    delete_study(_url(tmp_path), "other")
    _train(tmp_path, cells)
    searcher.more(0)
    row = searcher.trials[0]
    assert row.state == "complete"
    seen = searcher.parts.store.seen(row.run_keys)
    assert [seen[key].quality for key in row.run_keys] == [0.7, 0.7]


@pytest.mark.slow
def test_what_was_deleted_before_it_was_taken_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = _searched()
    _other(tmp_path)
    searcher = make_searcher(plan, tmp_path)
    register = searcher.parts.store.add_cells

    def after_the_other(plan: Plan, cells: Sequence[Cell]) -> None:
        monkeypatch.setattr(searcher.parts.store, "add_cells", register)
        delete_study(_url(tmp_path), "other")
        register(plan, cells)

    monkeypatch.setattr(searcher.parts.store, "add_cells", after_the_other)
    cells, _ = searcher.more(1)
    assert [cell.seed for cell in cells] == [1]
    assert searcher.trials[0].run_keys == ()


@pytest.mark.slow
def test_a_trial_whose_run_is_gone_is_not_complete_and_goes_on(tmp_path: Path) -> None:
    plan = _searched()
    run_search(plan, tmp_path, Instant())
    searcher = make_searcher(plan, tmp_path)
    first = searcher.trials[0]
    _set(tmp_path, first.run_keys[:1], status=RunStatus.PLANNED, val_accuracy=None)
    parts = searcher.parts
    found = read_search(parts.store, parts.key, parts.search)
    assert found is not None
    assert [trial.values is None for trial in found.trials] == [True, False]
    assert found.candidates == 1
    again = Instant()
    run_search(plan, tmp_path, again)
    assert again.trained == [first.run_keys[0]]
    rows = rows_of(_url(tmp_path), "SELECT state FROM trials ORDER BY number")
    assert rows == [("complete",)] * 2


@pytest.mark.slow
def test_a_failed_trial_goes_on_once_its_run_may_be_trained_again(tmp_path: Path) -> None:
    plan = _searched()
    searcher = make_searcher(plan, tmp_path)
    cells, _ = searcher.more(1)
    _train(tmp_path, cells, Failed("error", "out of luck"))
    searcher.more(0)
    assert searcher.trials[0].state == "failed"
    searcher.parts.store.close()
    assert make_searcher(plan, tmp_path).trials[0].state == "failed", "it stays so by itself"
    store = Store(_url(tmp_path))
    store.retry_failed([str(cell.run_key) for cell in cells])
    store.close()
    run_search(plan, tmp_path, Instant())
    rows = rows_of(_url(tmp_path), "SELECT state, reason FROM trials ORDER BY number")
    assert rows == [("complete", None)] * 2


def test_a_trial_that_somebody_else_added_is_one_line(tmp_path: Path) -> None:
    searcher, other = (make_searcher(_searched(), tmp_path) for _ in range(2))
    other.more(1)
    said = message(DatabaseError, lambda: searcher.more(1))
    assert "somebody else has added trial 0 of this search of small: " in said


def test_a_run_counts_as_trained_when_it_begins_and_not_before(tmp_path: Path) -> None:
    searcher = make_searcher(_searched(), tmp_path)
    cells, _ = searcher.more(2)
    assert len(cells) == 2
    searcher.begun(str(cells[0].run_key))
    assert [len(row.trained) for row in searcher.trials] == [1, 0]
    searcher.begun(str(cells[0].run_key))
    stored = searcher.parts.store.trials(searcher.parts.key)
    assert [len(row.trained) for row in stored] == [1, 0], "given back and begun anew it is one run"
