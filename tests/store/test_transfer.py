"""Exports come back as they were; a merge has every run once; damage and malice are one line."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyarrow.parquet
import pytest
from conftest import Shell, message
from sqlalchemy import select
from support.real_database import (
    EARLIER,
    FINISHED,
    PLANNED,
    SECOND,
    THIRD,
    WEIGHTS,
    change,
    fill_with_oddities,
    real_database,
    rows,
    values,
    views,
)

from ablate.errors import DatabaseError, DataError, OutputError
from ablate.store import schema
from ablate.store.connection.revisions import HEAD
from ablate.store.maintenance.health import check_integrity
from ablate.store.progress.watch import read_status
from ablate.store.transfer.copies import STAYED, private_copy
from ablate.store.transfer.export import export_database
from ablate.store.transfer.formats import FORMATS
from ablate.store.transfer.imports import import_folder
from ablate.store.transfer.manifest import MANIFEST, TABLES
from ablate.store.transfer.merge import merge_databases
from ablate.store.transfer.values import Kind, from_cell, from_json, to_cell, to_json
from ablate.store.writing.store import Store


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return real_database(tmp_path / "one" / "results.db")


def export(database: Path, folder: Path, format: str = "jsonl", study: str | None = None) -> Path:
    export_database(str(database), folder, format, {"commit": "abc"}, study)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, databases' journals and all."""
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


# ── export and import ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_what_is_exported_comes_back_equal(format: str, database: Path, tmp_path: Path) -> None:
    fill_with_oddities(database)
    before, files = views(database), content(database.parent)
    assert all(before.values()), "there is something in every view"
    folder, back = export(database, tmp_path / "export", format), tmp_path / "new" / "back.db"
    assert content(database.parent) == files, "reading changes nothing"
    counts = import_folder(folder, f"sqlite:///{back}")
    assert views(back) == before
    assert counts["runs"] == 4
    for table in TABLES:
        if table not in (schema.runs, schema.traces, schema.profiles):
            assert values(back, table.name) == values(database, table.name), table.name
    assert check_integrity(f"sqlite:///{back}") == []
    again = export(back, tmp_path / "again", format)
    for path in folder.glob("v_*"):
        assert (again / path.name).read_bytes() == path.read_bytes()
    assert sorted(p.name for p in back.parent.iterdir()) == ["back.db"]


def test_an_export_says_what_it_is(database: Path, tmp_path: Path) -> None:
    folder = export(database, tmp_path / "export", "csv")
    manifest = json.loads((folder / MANIFEST).read_bytes())
    assert (manifest["kind"], manifest["revision"], manifest["format"]) == (
        "ablate-export",
        HEAD,
        "csv",
    )
    assert manifest["provenance"] == {"commit": "abc"}
    assert str(tmp_path) not in json.dumps(manifest), "no path of this machine"
    written = {str(p.relative_to(folder)) for p in folder.rglob("*.csv")}
    assert set(manifest["files"]) == written
    for name, entry in manifest["files"].items():
        data = (folder / name).read_bytes()
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        assert entry["bytes"] == len(data)
    assert manifest["files"]["v_runs.csv"]["rows"] == 4


READ: dict[str, Callable[[Path], list[dict[str, str | None]]]] = {
    "csv": lambda path: list(csv.DictReader(path.read_text().splitlines())),
    "jsonl": lambda path: [json.loads(line) for line in path.read_text().splitlines()],
    "parquet": lambda path: pyarrow.parquet.read_table(path).to_pylist(),
}


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_rows_of_a_study_with_contexts_say_of_which_they_are(
    format: str, database: Path, tmp_path: Path
) -> None:
    def columns(folder: Path, view: str) -> list[str]:
        return list(READ[format](folder / f"{view}.{format}")[0])

    for table in ("studies", "cells"):  # another study, which has no contexts
        copied = [["plain" if v == "earlier" else v for v in row] for row in rows(database, table)]
        for row in copied:
            change(database, f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", *row)  # noqa: S608
    plain = export(database, tmp_path / "plain", format)
    [definition] = [row[3] for row in rows(database, "studies") if row[0] == "earlier"]
    context = {"backbone": "=se", "recipe.augment": ["crop", "flip"]}
    told = json.dumps({**json.loads(definition), "context": context})
    change(database, "UPDATE studies SET definition = ? WHERE study = 'earlier'", told)
    folder = export(database, tmp_path / "export", format)
    for view in ("v_runs", "v_looks", "v_datasets"):
        assert columns(folder, view) == [*columns(plain, view), "context"]
        found = {row["study"]: row["context"] for row in READ[format](folder / f"{view}.{format}")}
        assert found["earlier"] == "backbone==se, augment=crop+flip"
        assert not found.get("plain")
    assert columns(folder, "v_epochs") == columns(plain, "v_epochs"), "its run_key says it"
    import_folder(folder, str(tmp_path / "back.db"))
    again = export(tmp_path / "back.db", tmp_path / "again", format)
    for path in folder.glob("v_*"):
        assert (again / path.name).read_bytes() == path.read_bytes()


def test_no_cell_of_a_csv_is_a_formula(database: Path, tmp_path: Path) -> None:
    fill_with_oddities(database)
    change(database, "UPDATE epochs SET val_loss = -1.5 WHERE epoch = 1")
    folder = export(database, tmp_path / "export", "csv")
    numbers = set()
    for path in folder.rglob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.reader(file):
                for cell in row:
                    if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
                        numbers.add(float(cell))
    assert numbers == {-1.5, float("-inf")}, "only numbers begin so, and they are as they were"
    text = (folder / "v_runs.csv").read_text(encoding="utf-8")
    assert "\"'=HYPERLINK(" in text


VALUES: list[tuple[Kind, object]] = [
    ("integer", 0), ("integer", -(2**63)), ("number", 0.1 + 0.2), ("number", float("-inf")),
    ("number", 16.0), ("number", -0.0), ("number", 1e300),
    ("text", ""), ("text", "'"), ("text", "''=1"), ("text", "+1"), ("text", "\n"), ("text", "1"),
    ("json", '{"a": [1, null, "\\u2028"]}'), ("json", "-1"), ("json", '"=1"'), ("json", "[]"),
    ("bytes", b""), ("bytes", b"\xfb\xff"), ("bytes", bytes(range(256))),
    *((kind, None) for kind in ("integer", "number", "text", "bytes")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_every_value_survives_both_notations(kind: Kind, value: object) -> None:
    wanted = json.loads(str(value)) if kind == "json" else value
    cell = to_cell(kind, value)
    assert from_cell(kind, str(cell) if isinstance(cell, str) else repr(cell)) == wanted
    assert from_json(kind, json.loads(json.dumps(to_json(kind, value)))) == wanted


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_whole_numbers_are_written_as_such(format: str, database: Path, tmp_path: Path) -> None:
    change(database, "UPDATE cells SET reduction = 16")
    text = (export(database, tmp_path / "export", format) / f"v_runs.{format}").read_text()
    assert (",16," if format == "csv" else '"reduction": 16,') in text
    assert "16.0" not in text
    assert repr(to_cell("number", -0.0)) == repr(to_json("number", -0.0)) == "-0.0"


def test_parquet_has_types(database: Path, tmp_path: Path) -> None:
    folder = export(database, tmp_path / "export", "parquet")
    types = pyarrow.parquet.read_schema(folder / "v_epochs.parquet")
    assert [str(types.field(n).type) for n in ("run_key", "epoch", "train_loss")] == [
        "string",
        "int64",
        "double",
    ]


def test_running_runs_and_files_stay_behind(database: Path, tmp_path: Path) -> None:
    store = Store(str(database))
    claim = store.claim_cohort([PLANNED], 1, str)[0]
    store.close()
    folder = export(database, tmp_path / "export")
    import_folder(folder, str(tmp_path / "back.db"))
    back = {row[1]: row for row in rows(tmp_path / "back.db", "v_runs")}
    assert "stopped" in back[PLANNED]
    text = (folder / "tables" / "runs.jsonl").read_text()
    assert claim.token not in text
    assert '"owner_host": "' not in text
    assert [row[3:5] for row in rows(tmp_path / "back.db", "traces")] == [(None, STAYED)]
    assert "running" in {row[12] for row in rows(database, "v_runs")}


def test_one_study_alone(database: Path, tmp_path: Path) -> None:
    whole = export(database, tmp_path / "whole")
    change(database, "INSERT INTO studies SELECT 'other', dataset, setting, definition, updated_at, "
           "dataset_hash FROM studies")  # fmt: skip
    change(database, "UPDATE cells SET study = 'other' WHERE ordinal = 1")
    folder = export(database, tmp_path / "part", study="other")
    assert len((folder / "v_runs.jsonl").read_text().splitlines()) == 1
    found = [json.loads(line) for line in (folder / "v_epochs.jsonl").read_text().splitlines()]
    assert {row["run_key"] for row in found} == {SECOND}
    import_folder(folder, str(tmp_path / "part.db"))
    assert check_integrity(str(tmp_path / "part.db")) == []
    [cost] = {row[1] for row in rows(tmp_path / "part.db", "v_costs")}
    assert cost == rows(tmp_path / "part.db", "v_runs")[0][3]
    assert len(content(whole)) == len(content(folder))
    text = message(DatabaseError, lambda: export(database, tmp_path / "no", study="othe"))
    assert "has no study 'othe'; there are: earlier, other" in text
    assert not (tmp_path / "no").exists()


@pytest.mark.slow
def test_an_earlier_database_is_exported_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "old" / "old.db"
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.executescript(EARLIER.read_text())
    connection.close()
    before = content(path.parent)
    folder = export(path, tmp_path / "export")
    assert content(path.parent) == before
    import_folder(folder, str(tmp_path / "new.db"))
    assert rows(tmp_path / "new.db", "ablate_version") == [(HEAD,)]


def test_nobody_waits_for_an_export_and_it_waits_for_nobody_for_ever(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with private_copy(str(database)) as connection:
        change(database, "UPDATE runs SET seed = 77")
        assert 77 not in connection.execute(select(schema.runs.c.seed)).scalars().all()
    monkeypatch.setattr("ablate.store.transfer.copies.BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        text = message(DatabaseError, lambda: export(database, tmp_path / "export"))
    assert "database is locked" in text
    assert not (tmp_path / "export").exists()


def test_an_export_takes_the_place_of_an_earlier_one_and_of_nothing_else(
    database: Path, tmp_path: Path
) -> None:
    folder = export(database, tmp_path / "export", "csv")
    export(database, folder, "jsonl")
    assert not list(folder.rglob("*.csv"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = content(tmp_path)
    assert "something else" in message(OutputError, lambda: export(database, tmp_path / "mine"))
    assert "cannot be written" in message(OutputError, lambda: export(database, tmp_path / "file"))
    assert content(tmp_path) == before


def test_an_export_that_fails_leaves_the_earlier_one(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = export(database, tmp_path / "export", "csv")
    before = content(tmp_path)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for out in (folder, tmp_path / "new" / "one"):
        text = message(OutputError, lambda out=out: export(database, out, "csv"))
        assert "No space left on device" in text
    assert content(tmp_path) == before
    assert not (tmp_path / "new").exists()


# ── damaged and foreign folders ───────────────────────────────────────────────────────────────────


def flip(folder: Path) -> None:
    path = folder / "tables" / "epochs.jsonl"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def forge(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Somebody who changes a file and its hash as well."""

    def do(folder: Path) -> None:
        path = folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        manifest = json.loads((folder / MANIFEST).read_text())
        data = path.read_bytes()
        entry = manifest["files"][name]
        entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        (folder / MANIFEST).write_text(json.dumps(manifest))

    return do


def edit(old: str, new: str) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        text = (folder / MANIFEST).read_text()
        assert old in text
        (folder / MANIFEST).write_text(text.replace(old, new, 1))

    return do


def link(folder: Path) -> None:
    path = folder / "tables" / "epochs.jsonl"
    path.unlink()
    path.symlink_to("/dev/zero")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped bit": (flip, "epochs.jsonl: is not the file that was exported (its SHA-256 differs)"),
    "a missing file": (lambda f: (f / "tables/runs.jsonl").unlink(), "runs.jsonl: is missing"),
    "a link": (link, "epochs.jsonl: is missing"),
    "no manifest": (lambda f: (f / MANIFEST).unlink(), "is no export"),
    "an endless manifest": (lambda f: (f / MANIFEST).write_bytes(b" " * 2**21), "is no export"),
    "no JSON": (lambda f: (f / MANIFEST).write_text("{"), "is not what `ablate export` writes"),
    "another program's": (edit("ablate-export", "x"), "is not what `ablate export` writes (kind: "),
    "a newer revision": (edit(f'"{HEAD}"', '"9999"'), "exported by a newer ablate (revision 9999;"),
    "a file outside": (edit('"v_runs.jsonl"', '"../v_runs.jsonl"'), "which no export has"),
    "a table not listed": (edit('"tables/runs.jsonl"', '"v_steps.jsonl"'), "does not list tables/runs"),
    "a key that is a path": (
        forge("tables/runs.jsonl", FINISHED, "../../../../tmp/x"),
        "run_key '../../../../tmp/x' is not 16 hexadecimal digits",
    ),
    "text for a number": (
        forge("tables/runs.jsonl", '"seed": 1', '"seed": "1"'),
        "'1' is no integer",
    ),
    "an unknown column": (
        forge("tables/runs.jsonl", '"seed": 1', '"sead": 1'),
        "runs has run_key, fingerprint",
    ),
    "a row too many": (
        forge("tables/choices.jsonl", "\n", "\n" + '{"device": "d", "precision": "p", '
              '"decision": "a", "subject": "k", "conditions": "", "choice": "1", '
              '"reason": "", "chosen_at": ""}\n'),
        "has 2 rows instead of 1",
    ),
    "a row twice": (forge("tables/epochs.jsonl", '"epoch": 2', '"epoch": 1'), "UNIQUE"),
    "a reference to nothing": (
        forge("tables/epochs.jsonl", FINISHED, "0" * 16),
        "FOREIGN KEY constraint failed",
    ),
    "a number beyond 64 bits": (
        forge("tables/runs.jsonl", '"seed": 1', f'"seed": {2**70}'),
        "too large",
    ),
    "a bottomless list": (
        forge("tables/runs.jsonl", '"recipe": {', '"recipe": ' + "[" * 200_000 + "{"),
        "cannot be imported",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_foreign_folder_is_one_line_and_nothing_is_written(
    damage: str, database: Path, tmp_path: Path
) -> None:
    do, said = DAMAGES[damage]
    folder = export(database, tmp_path / "export")
    do(folder)
    before = sorted(tmp_path.rglob("*"))
    text = message(DataError, lambda: import_folder(folder, str(tmp_path / "results" / "back.db")))
    assert said in text
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_garbage_with_the_right_hash_is_one_line(
    format: str, database: Path, tmp_path: Path
) -> None:
    folder = export(database, tmp_path / "export", format)
    for garbage in (b"", b"\xff\xfe\x00garbage", b'"run_key","a\r', b"PAR1" + bytes(100) + b"PAR1"):
        name = f"tables/runs.{format}"
        (folder / name).write_bytes(garbage)
        manifest = json.loads((folder / MANIFEST).read_text())
        digest = hashlib.sha256(garbage).hexdigest()
        manifest["files"][name] |= {"bytes": len(garbage), "sha256": digest}
        (folder / MANIFEST).write_text(json.dumps(manifest))
        back = tmp_path / "back.db"
        assert name in message(DataError, lambda: import_folder(folder, str(back)))  # noqa: B023
        assert not back.exists()


def test_an_import_never_joins_what_is_there(database: Path, tmp_path: Path) -> None:
    folder = export(database, tmp_path / "export")
    before = content(database.parent)
    text = message(DatabaseError, lambda: import_folder(folder, str(database)))
    assert "is not empty" in text
    assert content(database.parent) == before
    empty = tmp_path / "empty.db"
    Store(str(empty)).close()
    import_folder(folder, str(empty))
    assert views(empty) == views(database)


# ── merging ───────────────────────────────────────────────────────────────────────────────────────


def halves(tmp_path: Path) -> tuple[Path, Path]:
    """Two machines' databases of one study: each has finished what the other only planned."""
    one, two = real_database(tmp_path / "one" / "a.db"), real_database(tmp_path / "two" / "b.db")
    forget(one, FINISHED)
    forget(two, SECOND)
    return one, two


def forget(path: Path, run_key: str) -> None:
    """Make a run planned again."""
    for table in ("epochs", "steps", "attempts", "explanations"):
        change(path, f"DELETE FROM {table} WHERE run_key = ?", run_key)  # noqa: S608
    change(
        path,
        "UPDATE runs SET status = 'planned', attempts = 0, val_accuracy = NULL, test_accuracy = NULL, "
        "test_loss = NULL, test_correct = NULL, weights_sha256 = NULL, weights_file = NULL, "
        "seconds = NULL, device = NULL, train_images_per_second = NULL, precision = NULL, "
        "started_at = NULL, finished_at = NULL, "
        "environment_id = NULL, owner_host = NULL, owner_pid = NULL, owner_started = NULL "
        "WHERE run_key = ?",
        run_key,
    )
    (path.parent / "weights" / f"{run_key}.safetensors").unlink(missing_ok=True)


def test_two_halves_make_the_whole(tmp_path: Path) -> None:
    whole = views(real_database(tmp_path / "whole" / "w.db"))
    one, two = halves(tmp_path)
    theirs = content(two.parent)
    merged = merge_databases(str(one), [str(two)])
    assert (merged.added, merged.replaced, merged.complaints) == (0, 1, [])
    assert views(one) == whole
    assert (one.parent / "weights" / f"{FINISHED}.safetensors").read_bytes() == WEIGHTS
    assert content(two.parent) == theirs, "the other is only read"
    assert check_integrity(str(one)) == []
    before = content(one.parent)
    again = merge_databases(str(one), [str(two)])
    assert (again.added, again.replaced, again.complaints) == (0, 0, [])
    assert (
        content(one.parent)["weights/" + f"{FINISHED}.safetensors"]
        == before["weights/" + f"{FINISHED}.safetensors"]
    )
    assert views(one) == whole


@pytest.mark.slow
def test_a_study_that_is_new_comes_whole(database: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.db"
    Store(str(empty)).close()
    merged = merge_databases(str(empty), [str(database)])
    assert (merged.added, merged.replaced, merged.complaints) == (4, 0, [])
    assert views(empty) == views(database)
    assert rows(empty, "studies") == rows(database, "studies")


def test_conflicts_are_named_and_the_first_result_is_kept(tmp_path: Path) -> None:
    one, two = halves(tmp_path)
    change(two, "UPDATE runs SET test_accuracy = 0.25 WHERE run_key = ?", THIRD)
    merged = merge_databases(str(one), [str(two)])
    [line] = merged.complaints
    assert f"earlier, none, seed 2 ({THIRD}): test accuracy 0.9" in line
    assert "and 0.25" in line
    assert line.startswith(f"{one}, {two}: ")
    kept = {row[1]: row for row in rows(one, "v_runs")}
    assert 0.25 not in kept[THIRD]
    assert "finished" in kept[FINISHED], "the rest is merged"


def test_a_failed_run_is_taken_over_a_planned_one_but_not_over_a_finished_one(
    tmp_path: Path,
) -> None:
    one, two = halves(tmp_path)
    for key in (PLANNED, THIRD):
        change(two, "UPDATE runs SET status = 'failed', failure = 'oom', error = 'e'"
               " WHERE run_key = ?", key)  # fmt: skip
    merged = merge_databases(str(one), [str(two)])
    assert (merged.replaced, merged.complaints) == (2, [])
    status = {row[1]: row[12] for row in rows(one, "v_runs")}
    assert status == {
        FINISHED: "finished",
        SECOND: "finished",
        THIRD: "finished",
        PLANNED: "failed",
    }


def test_a_run_under_way_loses_its_claim_to_a_finished_result(tmp_path: Path) -> None:
    one, two = halves(tmp_path)
    store = Store(str(one))
    [claim] = store.claim_cohort([FINISHED], 1, str)
    store.close()
    merge_databases(str(one), [str(two)])
    with sqlite3.connect(one) as connection:
        query = "SELECT status, token, attempts FROM runs WHERE run_key = ?"
        assert connection.execute(query, (FINISHED,)).fetchall() == [("finished", None, 2)]
        query = "SELECT outcome FROM attempts WHERE token = ?"
        assert connection.execute(query, (claim.token,)).fetchall() == [("stopped",)]
    connection.close()


def test_new_variants_of_a_study_come_behind_and_are_named(tmp_path: Path) -> None:
    one, two = halves(tmp_path)
    new = "f" * 16
    change(two, "UPDATE runs SET run_key = ? WHERE run_key = ?", new, PLANNED)
    change(
        two, "UPDATE cells SET run_key = ?, variant = 'eca(pool1)' WHERE run_key = ?", new, PLANNED
    )
    definition = json.loads(rows(two, "studies")[0][3])
    definition |= {"variants": ["none", "eca(pool1)"], "seeds": 7}
    change(two, "UPDATE studies SET definition = ?", json.dumps(definition))
    merge_databases(str(one), [str(two)])
    cells = {row[1]: row for row in rows(one, "cells")}
    assert cells[new][4] == 4 + 3, "behind the four that were there"
    joined = json.loads(rows(one, "studies")[0][3])
    assert joined["variants"] == ["none", "se(pool3, r=16)", "eca(pool1)"]
    assert joined["seeds"] == 7


def test_another_network_of_the_same_name_does_not_come_into_a_study(tmp_path: Path) -> None:
    one, two = halves(tmp_path)
    before, new, other = views(one)["v_runs"], "f" * 16, "0" * 16
    [mine] = [row[0] for row in rows(two, "cells") if row[1] == PLANNED]
    architecture = next(iter(rows(two, "architectures")))
    marks = ", ".join("?" * len(architecture))
    change(two, f"INSERT INTO architectures VALUES ({marks})", other, *architecture[1:])  # noqa: S608
    change(
        two, "UPDATE runs SET run_key = ?, fingerprint = ? WHERE run_key = ?", new, other, PLANNED
    )
    change(two, "UPDATE cells SET run_key = ? WHERE run_key = ?", new, PLANNED)
    merged = merge_databases(str(one), [str(two)])
    [line] = merged.complaints
    assert line.startswith(f"{one}, {two}: {mine}: ")
    assert "are other networks there" in line
    assert "1 run came along, but not into this study" in line
    assert merged.added == 1
    assert new in {row[0] for row in rows(one, "runs")}
    assert new not in {row[1] for row in rows(one, "cells")}
    assert len(views(one)["v_runs"]) == len(before)
    assert len(merge_databases(str(one), [str(two)]).complaints) == 1, "told again"


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_weights_that_cannot_be_copied_are_named(damage: str, tmp_path: Path) -> None:
    one, two = halves(tmp_path)
    path = two.parent / "weights" / f"{FINISHED}.safetensors"
    path.unlink() if damage == "missing" else path.write_bytes(b"other weights")
    [line] = merge_databases(str(one), [str(two)]).complaints
    assert str(path) in line
    assert not (one.parent / "weights" / path.name).exists()


def test_a_merge_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = halves(tmp_path)
    before = content(one.parent)

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ablate.store.transfer.merge._add_profiles", broken)
    with pytest.raises(KeyboardInterrupt):
        merge_databases(str(one), [str(two)])
    monkeypatch.undo()
    assert content(one.parent) == before
    three = real_database(tmp_path / "three" / "c.db")
    change(three, "PRAGMA foreign_keys = OFF")
    change(three, "UPDATE architectures SET fingerprint = '../escape' WHERE fingerprint = "
           "(SELECT fingerprint FROM runs LIMIT 1)")  # fmt: skip
    text = message(DatabaseError, lambda: merge_databases(str(one), [str(two), str(three)]))
    assert "a row of runs refers to a row that is missing" in text
    assert content(one.parent) == before, "weights that came before the error are gone again too"


def test_an_earlier_database_is_merged_from_a_copy(tmp_path: Path) -> None:
    old = tmp_path / "old" / "old.db"
    old.parent.mkdir()
    with sqlite3.connect(old) as connection:
        connection.executescript(EARLIER.read_text())
    connection.close()
    before = content(old.parent)
    empty = tmp_path / "empty.db"
    Store(str(empty)).close()
    assert merge_databases(str(empty), [str(old)]).added == 4
    assert content(old.parent) == before


def test_what_cannot_be_merged_is_refused(database: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(database)
    other = tmp_path / "other.db"
    other.write_bytes(b"no database")
    foreign = tmp_path / "foreign.db"
    sqlite3.connect(foreign).execute("CREATE TABLE notes (text)").connection.close()
    before = content(tmp_path)
    for sources, said in (
        ([str(foreign)], f"{foreign}: a database of another program (it has the table 'notes')"),
        ([str(database)], "is named twice"),
        ([f"sqlite:///{link}"], "is named twice"),
        ([str(tmp_path / "absent.db")], "absent.db: there is no such database"),
        ([str(other)], "(TMPDIR says where): file is not a database"),
    ):
        assert said in message(DatabaseError, lambda: merge_databases(str(database), sources))  # noqa: B023
    absent = str(tmp_path / "absent.db")
    assert "no such database" in message(
        DatabaseError, lambda: merge_databases(absent, [str(database)])
    )
    assert content(tmp_path) == before


@pytest.mark.slow
def test_results_move_between_sqlite_and_postgresql(
    database: Path, tmp_path: Path, postgres_url: str
) -> None:
    import_folder(export(database, tmp_path / "out", "parquet"), postgres_url)
    export_database(postgres_url, tmp_path / "again", "jsonl", {})
    back = tmp_path / "back.db"
    import_folder(tmp_path / "again", str(back))
    assert views(back) == views(database)
    assert read_status(postgres_url) == read_status(str(back))
    assert check_integrity(postgres_url) == []
    assert merge_databases(postgres_url, [str(database)]).added == 0
    forget(database, THIRD)
    merged = merge_databases(str(database), [postgres_url])
    assert (merged.added, merged.replaced) == (0, 1), "planned here, finished there"
    assert views(database) == views(back)


# ── the command line ──────────────────────────────────────────────────────────────────────────────


def test_the_commands(shell: Shell, database: Path, tmp_path: Path) -> None:
    code, out, _ = shell("export", "--db", str(database), "--format", "csv", "--out", "out")
    assert code == 0
    assert "out/v_runs.csv: 4 rows" in out
    manifest = json.loads((shell.folder / "out" / MANIFEST).read_text())
    assert manifest["provenance"]["command"].endswith("--out out")
    code, out, _ = shell("import", "out", "--db", "back.db")
    assert code == 0
    assert out.splitlines() == [
        "4 runs and 6 epochs of 1 study imported into back.db",
        "next: ablate status --db back.db",
    ]
    change(shell.folder / "back.db", "UPDATE runs SET test_accuracy = 0.5 WHERE run_key = ?", THIRD)
    code, out, _ = shell("merge", str(database), "back.db")
    assert code == 1
    assert THIRD in out
    assert out.splitlines()[-2:] == [
        f"0 runs added to {database}, 0 that had not finished here replaced",
        f"next: ablate status --db {database}",
    ]
    files = shell.files()
    for arguments, said in (
        (["import", "out", "--db", "back.db"], "is not empty"),
        (["import", "absent"], "absent: is no export"),
        (["import", "\x1b[2Jabsent"], "\ufffd[2Jabsent: is no export"),
        (["merge", "back.db", "back.db"], "is named twice"),
        (["export", "--db", "absent.db"], "absent.db: there is no such database"),
        (["export", "--db", "back.db", "--study", "nothing"], "has no study 'nothing'"),
        (["export", "--db", "back.db", "--study", "absent.toml"], "absent.toml: cannot be read"),
    ):
        code, _, errors = shell(*arguments)
        assert (code, errors.count("\n")) == (2, 1), errors
        assert said in errors
    assert shell.files() == files


# ── what was said of each image ───────────────────────────────────────────────────────────────────


SAID = bytes(range(256)) * 5 + bytes(359 * 4 - 1280)


def with_predictions(path: Path, said: bytes = SAID) -> Path:
    real_database(path)
    change(path, "UPDATE runs SET test_predictions = ? WHERE run_key = ?", said, SECOND)
    labels, classes = bytes(718), json.dumps([str(i) for i in range(10)])
    change(path, "UPDATE test_sets SET labels = ?, classes = ?", labels, classes)
    [(content,)] = [row[:1] for row in rows(path, "test_sets")]
    change(path, "INSERT INTO test_pictures VALUES (?, 32, 7, ?)", content, b"\x89PNG\r\n\x1a\n")
    return path


def said_of(path: Path) -> bytes | None:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT test_predictions FROM runs WHERE run_key = ?"
        [(said,)] = connection.execute(query, (SECOND,))
    return bytes(said) if said is not None else None


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_predictions_labels_and_pictures_travel(format: str, tmp_path: Path) -> None:
    path = with_predictions(tmp_path / "one" / "a.db")
    folder, back = export(path, tmp_path / "export", format), tmp_path / "back.db"
    assert not list(folder.glob("v_predictions.*")), "a row for each run and image is no file"
    import_folder(folder, str(back))
    assert views(back) == views(path)
    assert said_of(back) == SAID
    assert values(back, "test_pictures") == values(path, "test_pictures")
    assert values(back, "test_sets") == values(path, "test_sets")


@pytest.mark.slow
def test_an_export_can_leave_predictions_out_and_keeps_the_bits(tmp_path: Path) -> None:
    path, folder = with_predictions(tmp_path / "one" / "a.db"), tmp_path / "export"
    export_database(str(path), folder, "csv", {}, predictions=False)
    assert "--no-predictions" in (folder / MANIFEST).read_text()
    import_folder(folder, str(tmp_path / "back.db"))
    assert said_of(tmp_path / "back.db") is None
    told = "(SELECT run_key, image, label, correct FROM v_predictions ORDER BY 1, 2)"
    assert rows(tmp_path / "back.db", told) == rows(path, told)
    assert said_of(path) == SAID, "the database has them still"


def test_a_merge_completes_a_result_that_has_no_predictions(tmp_path: Path) -> None:
    one, two = real_database(tmp_path / "one" / "a.db"), with_predictions(tmp_path / "two" / "b.db")
    merged = merge_databases(str(one), [str(two)])
    assert (merged.added, merged.replaced, merged.complaints) == (0, 0, [])
    assert views(one) == views(two)
    assert merge_databases(str(one), [str(two)]).complaints == []
    assert merge_databases(str(two), [str(real_database(tmp_path / "c.db"))]).complaints == []
    assert said_of(two) == SAID, "and the other way round nothing is lost"


def test_other_predictions_are_a_conflict(tmp_path: Path) -> None:
    one = with_predictions(tmp_path / "one" / "a.db")
    two = with_predictions(tmp_path / "two" / "b.db", SAID[::-1])
    [line] = merge_databases(str(one), [str(two)]).complaints
    assert SECOND in line
    assert said_of(one) == SAID


def test_an_export_of_one_study_has_its_test_images_alone(tmp_path: Path) -> None:
    path = with_predictions(tmp_path / "one" / "a.db")
    change(path, "INSERT INTO test_sets VALUES ('others', 5, NULL, NULL)")
    change(path, "INSERT INTO test_pictures VALUES ('others', 32, 1, ?)", b"\x89PNG\r\n\x1a\nx")
    with private_copy(str(path), "earlier") as copy:
        for table in (schema.test_sets, schema.test_pictures):
            assert [row.dataset_hash for row in copy.execute(table.select())] != ["others"]
            assert len(copy.execute(table.select()).all()) == 1
