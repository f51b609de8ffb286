"""What the images of data sets are, in the database: stored, looked at, carried elsewhere, refused."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import rows_of, study_document
from support.picture_sets import picture_set

from ablate.plan import Plan, make_plan, with_data
from ablate.store.connection.contents import problem_in
from ablate.store.reading.frames import Which, read_frames
from ablate.store.transfer.export import export_database
from ablate.store.transfer.imports import import_folder
from ablate.store.transfer.merge import merge_databases
from ablate.store.writing.store import Store
from ablate.study.file import parse_study

Opener = Callable[[str], Store]
COUNTS = "SELECT train_images, validation_images, test_images, classes FROM v_datasets ORDER BY 2"
FOUND = "SELECT compared, tested_in_training, plain_images, turned, passed_over FROM v_datasets"


def planned(folder: Path, **changes: object) -> Plan:
    document = study_document(
        dataset="images", backbone="cbam_cnn(width=0.25)", seeds=1, grid=[{"attention": "none"}], **changes
    )  # fmt: skip
    return make_plan(parse_study(document, "test"), folder)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    folder = picture_set(tmp_path / "set")
    for name in ("notes.txt", "more.txt"):
        (folder / "train" / "cat" / name).write_text("no image")
    plan = planned(folder)
    return with_data(plan, plan.dataset.load())


def frames_of(url: str, plan: Plan) -> object:
    which = Which(str(plan.dataset.content_hash()))
    return read_frames(url, "small", plan.study.setting, which).data


@pytest.mark.slow
def test_a_registered_plan_says_what_its_images_are(
    any_url: str, open_store: Opener, plan: Plan
) -> None:
    open_store(any_url).register(plan)
    assert rows_of(any_url, COUNTS) == [(14, 2, 12, 2)]
    [(*found, passed)] = rows_of(any_url, FOUND)
    assert found == ["pixels at 16×16", 0, 0, 1]
    assert (json.loads(passed) if isinstance(passed, str) else passed) == {".txt": 2}
    assert frames_of(any_url, plan) == plan.data


def test_recipes_hold_out_others_of_the_same_images(
    any_url: str, open_store: Opener, plan: Plan
) -> None:
    store = open_store(any_url)
    store.register(plan)
    other = planned(plan.dataset.path, recipe={"validation_fraction": 0.5})  # type: ignore[attr-defined]
    store.register(with_data(other))
    found = rows_of(any_url, COUNTS)
    assert found == [(14, 2, 12, 2), (8, 8, 12, 2)]


def test_images_that_nobody_counted_are_null_and_the_report_has_none(
    any_url: str, open_store: Opener, plan: Plan
) -> None:
    open_store(any_url).register(replace(plan, data=None))
    assert rows_of(any_url, COUNTS) == [(None,) * 4]
    assert frames_of(any_url, plan) is None


def test_names_of_classes_are_kept_as_text(any_url: str, open_store: Opener, plan: Plan) -> None:
    name = "a\0b \udcff <b>'; DROP TABLE runs"
    assert plan.data is not None
    open_store(any_url).register(replace(plan, data=replace(plan.data, majority_class=name)))
    [(stored,)] = rows_of(any_url, "SELECT majority_class FROM v_datasets")
    assert stored == "a\\0b \\udcff <b>'; DROP TABLE runs"


@pytest.fixture
def filled(tmp_path: Path, open_store: Opener, plan: Plan) -> Path:
    path = tmp_path / "one.db"
    open_store(f"sqlite:///{path}").register(plan)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_they_go_with_an_export_and_come_back(format: str, tmp_path: Path, filled: Path) -> None:
    back = tmp_path / "back.db"
    export_database(f"sqlite:///{filled}", tmp_path / "export", format, {})
    import_folder(tmp_path / "export", f"sqlite:///{back}")
    query = "SELECT * FROM v_datasets"
    assert rows_of(f"sqlite:///{back}", query) == rows_of(f"sqlite:///{filled}", query)


@pytest.mark.slow
def test_an_export_of_one_study_leaves_other_images_out(
    tmp_path: Path, filled: Path, open_store: Opener
) -> None:
    other = planned(picture_set(tmp_path / "other", seed=5), name="other")
    open_store(f"sqlite:///{filled}").register(with_data(other))
    export_database(f"sqlite:///{filled}", tmp_path / "export", "csv", {}, "other")
    import_folder(tmp_path / "export", f"sqlite:///{tmp_path / 'back.db'}")
    found = rows_of(f"sqlite:///{tmp_path / 'back.db'}", "SELECT dataset_hash FROM datasets")
    assert found == [(other.dataset.content_hash(),)]


@pytest.mark.slow
def test_a_merge_brings_them_and_keeps_those_that_are_there(
    tmp_path: Path, filled: Path, open_store: Opener, plan: Plan
) -> None:
    into = f"sqlite:///{tmp_path / 'into.db'}"
    open_store(into).register(replace(plan, data=None))
    merge_databases(into, [f"sqlite:///{filled}"])
    assert rows_of(into, "SELECT COUNT(*) FROM datasets") == [(1,)]
    open_store(into).register(plan)
    merge_databases(into, [f"sqlite:///{filled}"])
    for query in (COUNTS, FOUND):
        assert rows_of(into, query) == rows_of(f"sqlite:///{filled}", query)


HOSTILE = {
    "datasets.test_images": "UPDATE datasets SET test_images = -1",
    "datasets.majority_share": "UPDATE datasets SET majority_share = 1.5",
    "datasets.turned": "UPDATE datasets SET turned = 2",
    "datasets.compared": "UPDATE datasets SET compared = 'by hand'",
    "datasets.passed_over counts": 'UPDATE datasets SET passed_over = \'{".txt": "many"}\'',
    "datasets.passed_over is": "UPDATE datasets SET passed_over = '[]'",
    "datasets.majority_class": "UPDATE datasets SET majority_class = X'00'",
    "studies.definition": "UPDATE studies SET definition = json_set(definition, '$.validation_images', 'x')",
}


@pytest.mark.parametrize("where", HOSTILE)
def test_what_ablate_does_not_store_is_found(where: str, filled: Path) -> None:
    assert problem_in(filled) is None
    with closing(sqlite3.connect(filled)) as connection, connection:
        connection.execute(HOSTILE[where])
    assert str(problem_in(filled)).startswith(where)
