"""Data sets in the database: by their content, whatever they are called."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conftest import claim_one, rows_of, study_document
from sqlalchemy import create_engine
from support.picture_sets import picture_set

from ablate.errors import DatabaseError
from ablate.plan import Plan, make_plan
from ablate.result import Epoch, Finished
from ablate.store import schema
from ablate.store.connection.address import parse_url
from ablate.store.connection.migrate import upgrade
from ablate.store.maintenance.health import check_integrity
from ablate.store.progress.watch import read_status
from ablate.store.reading.datasets import told_namesakes
from ablate.store.reading.follow import followed_runs
from ablate.store.reading.frames import Which, read_frames
from ablate.store.reading.held import stored_settings
from ablate.store.reading.runs import stored_runs
from ablate.store.transfer.merge import merge_databases
from ablate.store.writing.store import Store
from ablate.store.writing.trials import TrialRow, TrialStore, search_key
from ablate.study.file import parse_study
from ablate.tensorboard.log import Log
from ablate.tensorboard.news import news

EPOCH = Epoch(1, 2.0, 0.5, 1.9, 0.55, None, None, 1e-3, 2.0, 500.0)
Opener = Callable[[str], Store]


def planned(folder: Path, **changes: Any) -> Plan:
    document = study_document(
        dataset="images", backbone="cbam_cnn(width=0.25)", seeds=1, grid=[{"attention": "none"}], **changes
    )  # fmt: skip
    return make_plan(parse_study(document, "test"), folder)


@pytest.fixture
def one(tmp_path: Path) -> Plan:
    return planned(picture_set(tmp_path / "a" / "data"))


@pytest.fixture
def other(tmp_path: Path) -> Plan:
    """Other images in a folder of the same name."""
    return planned(picture_set(tmp_path / "b" / "data", signal=False, seed=7))


def content(plan: Plan) -> str:
    return str(plan.dataset.content_hash())


def finish(store: Store, plan: Plan, accuracy: float) -> None:
    store.register(plan)
    claim = claim_one(store, [str(cell.run_key) for cell in plan.cells])
    assert claim is not None
    store.add_epoch(claim, EPOCH)
    store.finish(
        claim, Finished(accuracy, accuracy, 1.0, b"\xf0", 4.0, 500.0, "a machine", "fp32"), {}
    )


@pytest.fixture
def both(any_url: str, open_store: Opener, one: Plan, other: Plan) -> str:
    store = open_store(any_url)
    finish(store, one, 1.0)
    finish(store, other, 0.5)
    return any_url


@pytest.mark.slow
def test_two_sets_of_one_name_stand_side_by_side(both: str, one: Plan, other: Plan) -> None:
    found = rows_of(both, "SELECT dataset, dataset_hash, test_accuracy FROM v_runs ORDER BY 3")
    assert found == [("data", content(other), 0.5), ("data", content(one), 1.0)]
    setting = one.study.setting
    for plan, accuracy in ((one, 1.0), (other, 0.5)):
        frames = read_frames(both, "small", setting, Which(content(plan), "data"))
        assert frames.runs["test_accuracy"].tolist() == [accuracy]
        assert frames.dataset_hash == content(plan)
        assert len(frames.others) == 1
        assert len(frames.epochs) == len(frames.runs) == 1
        [run] = stored_runs(both, "small", content(plan), setting)
        assert run.run_key == plan.cells[0].run_key
    statuses = read_status(both, "small")
    assert [(s.dataset, s.dataset_hash, s.counts["finished"]) for s in statuses] == [
        ("data", content(one), 1),
        ("data", content(other), 1),
    ]
    assert len(stored_settings(both, "small")) == 2


@pytest.mark.slow
def test_without_images_the_last_run_one_is_meant_and_said(
    both: str, one: Plan, other: Plan
) -> None:
    for which in (None, Which(name="data"), Which(preferred="digits")):
        frames = read_frames(both, "small", one.study.setting, which)
        assert frames.dataset_hash == content(other)
        assert frames.others == (f"data (content {content(one)[:8]})",)


def test_images_that_were_never_trained_on_have_no_results(
    both: str, one: Plan, tmp_path: Path
) -> None:
    third = planned(picture_set(tmp_path / "c" / "data", seed=3))
    with pytest.raises(DatabaseError, match=f"'data' \\(content {content(third)[:8]}\\)") as caught:
        read_frames(both, "small", one.study.setting, Which(content(third), "data"))
    assert f"data (content {content(one)[:8]})" in str(caught.value)


def test_a_name_met_with_other_images_is_told_in_one_line(
    both: str, one: Plan, other: Plan
) -> None:
    said = told_namesakes(both, "small", "data", content(one))
    assert said is not None
    assert "\n" not in said
    assert f"(content {content(other)[:8]}; now {content(one)[:8]})" in said
    assert told_namesakes(both, "small", "pets", content(one)) is None
    assert told_namesakes(both, "another", "data", content(one)) is None
    assert told_namesakes("sqlite:///nowhere.db", "small", "data", content(one)) is None


def test_a_renamed_set_is_the_same_and_gets_the_new_name(
    both: str, open_store: Opener, one: Plan, other: Plan, tmp_path: Path
) -> None:
    (tmp_path / "a" / "data").rename(tmp_path / "a" / "pets")
    renamed = planned(tmp_path / "a" / "pets")
    open_store(both).register(renamed)
    found = rows_of(both, "SELECT dataset, dataset_hash, status FROM v_runs ORDER BY dataset")
    assert found == [("data", content(other), "finished"), ("pets", content(one), "finished")]
    assert sorted(rows_of(both, "SELECT dataset, dataset_hash FROM studies")) == [
        ("data", content(other)),
        ("pets", content(one)),
    ]
    assert read_frames(both, "small", one.study.setting, Which(name="pets")).others == ()


def test_tensorboard_keeps_their_seeds_apart(both: str) -> None:
    runs = followed_runs(both)
    assert len({run.run_key for run in runs}) == len({run.dataset_hash for run in runs}) == 2
    starts = [news(both, run, Log(Path("nowhere")), [], [])[1] for run in runs]
    groups = {str(start.summary.value[0].metadata.plugin_data.content) for start in starts}
    assert len(groups) == 2


@pytest.mark.slow
def test_a_search_goes_on_with_its_own_images_only(any_url: str, one: Plan, other: Plan) -> None:
    store, architecture = TrialStore(any_url), one.cells[0].architecture
    keys = [search_key(plan.study, "data", content(plan)) for plan in (one, other)]
    for number, key in enumerate([keys[0], keys[1], keys[0]]):
        trial = TrialRow(number // 2, {}, {}, f"variant {number}", architecture.fingerprint)
        store.begin(key, trial, architecture)
    assert [row.variant for row in store.trials(keys[0])] == ["variant 0", "variant 2"]
    assert [row.variant for row in store.trials(keys[1])] == ["variant 1"]
    renamed = search_key(one.study, "pets", content(one))
    assert len(store.trials(renamed)) == 2, "a name is no part of it"
    assert len(store.searches("small", content(one), one.study.setting)) == 1
    store.close()


def test_databases_with_two_sets_of_one_name_are_merged_side_by_side(
    tmp_path: Path, open_store: Opener, one: Plan, other: Plan
) -> None:
    into, source = (f"sqlite:///{tmp_path / name}.db" for name in ("into", "source"))
    finish(open_store(into), one, 1.0)
    finish(open_store(source), other, 0.5)
    merged = merge_databases(into, [source])
    assert (merged.added, merged.complaints) == (1, [])
    assert len(rows_of(into, "SELECT * FROM studies")) == 2
    for plan, accuracy in ((one, 1.0), (other, 0.5)):
        frames = read_frames(into, "small", plan.study.setting, Which(content(plan), "data"))
        assert frames.runs["test_accuracy"].tolist() == [accuracy]


def test_the_same_images_under_another_name_are_merged_into_one_set(
    tmp_path: Path, open_store: Opener, one: Plan
) -> None:
    into, source = (f"sqlite:///{tmp_path / name}.db" for name in ("into", "source"))
    finish(open_store(into), one, 1.0)
    (tmp_path / "a" / "data").rename(tmp_path / "a" / "pets")
    more = planned(tmp_path / "a" / "pets", baseline_seeds=2)
    finish(open_store(source), more, 1.0)
    merge_databases(into, [source])
    assert rows_of(into, "SELECT DISTINCT dataset, dataset_hash FROM v_runs") == [
        ("data", content(one))
    ]
    assert len(rows_of(into, "SELECT * FROM v_runs")) == 2


# ── databases of before ───────────────────────────────────────────────────────────────────────────


EARLIER = Path(__file__).parents[1] / "databases" / "0005.sql"


def with_two_contents(path: Path) -> tuple[str, str]:
    """A database of revision 0005 in which a name has stood for two sets, as after a merge."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(EARLIER.read_text())
        [(usual,)] = connection.execute("SELECT DISTINCT dataset_hash FROM runs").fetchall()
        last, *_ = connection.execute(
            "SELECT run_key FROM cells ORDER BY ordinal DESC LIMIT 1"
        ).fetchone()
        connection.execute("UPDATE runs SET dataset_hash = ? WHERE run_key = ?", ("f" * 64, last))
        names = [row[1] for row in connection.execute("PRAGMA table_info(trials)")]
        values = {**dict(zip(names, connection.execute("SELECT * FROM trials").fetchone(), strict=True)),
                  "number": 7, "run_keys": json.dumps([last]), "asked_at": "2030"}  # fmt: skip
        marks = ", ".join("?" * len(names))
        insert = f"INSERT INTO trials VALUES ({marks})"  # noqa: S608
        connection.execute(insert, [values[name] for name in names])
        connection.commit()
    return usual, "f" * 64


def as_it_must_be(url: str, usual: str, second: str) -> None:
    assert sorted(rows_of(url, "SELECT dataset, dataset_hash FROM studies")) == sorted(
        [("digits", usual), ("digits", second)]
    )
    odd = (
        "SELECT COUNT(*) FROM cells c JOIN runs r ON r.run_key = c.run_key "
        "WHERE c.dataset_hash <> r.dataset_hash"
    )
    assert rows_of(url, odd) == [(0,)]
    found = rows_of(url, "SELECT dataset_hash, number FROM trials ORDER BY asked_at")
    assert found == [(usual, 0), (usual, 1), (second, 0)], "each numbered from 0"
    assert rows_of(url, "SELECT COUNT(*) FROM cells WHERE dataset_hash IS NULL") == [(0,)]
    assert check_integrity(url) == []


def test_a_name_that_stood_for_two_sets_is_two_after_the_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "earlier.db"
    usual, second = with_two_contents(path)
    Store(f"sqlite:///{path}").close()
    as_it_must_be(f"sqlite:///{path}", usual, second)


@pytest.mark.slow
def test_the_same_on_postgresql(tmp_path: Path, empty_postgres_url: str) -> None:
    path = tmp_path / "earlier.db"
    usual, second = with_two_contents(path)
    engine = create_engine(parse_url(empty_postgres_url))
    with engine.begin() as connection:
        upgrade(connection, "0005")
    engine.dispose()
    copy_rows_of_before(path, empty_postgres_url)
    Store(empty_postgres_url).close()
    as_it_must_be(empty_postgres_url, usual, second)


def copy_rows_of_before(path: Path, url: str) -> None:
    """Every row of an SQLite file into the same tables of a server, as they are."""
    with closing(sqlite3.connect(path)) as source, psycopg.connect(url) as target:
        there = {row[0] for row in source.execute("SELECT name FROM sqlite_master")}
        for name in [t.name for t in schema.metadata.sorted_tables if t.name in there]:
            names = [row[1] for row in source.execute(f"PRAGMA table_info({name})")]
            marks = ", ".join(["%s"] * len(names))
            query = f"INSERT INTO {name} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608
            for row in source.execute(f"SELECT * FROM {name}").fetchall():  # noqa: S608
                target.execute(query, row)
