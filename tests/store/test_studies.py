"""A study is listed, renamed and deleted; what another one names stays, and so does every result."""

from __future__ import annotations

import os
import pty
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path

import optuna
import pytest
from conftest import Shell, message
from sqlalchemy import Connection, func, insert, select, update
from support.real_database import FINISHED, SECOND, real_database

from ablate.commands.study import delete, rename
from ablate.errors import DatabaseError
from ablate.result import RunStatus
from ablate.search.forget import forget_searches
from ablate.search.storage import close_storage, open_storage
from ablate.store import schema
from ablate.store.connection.address import files_folder
from ablate.store.connection.engine import WRITE, open_engine
from ablate.store.maintenance.health import check_integrity
from ablate.store.maintenance.leftovers import give_back_space, remove_files
from ablate.store.maintenance.removal import delete_study, what_goes
from ablate.store.maintenance.studies import list_studies, rename_study
from ablate.store.transfer.export import export_database
from ablate.store.transfer.imports import import_folder
from ablate.system.process.owner import current_owner


@pytest.fixture
def filled(any_url: str, tmp_path: Path) -> str:
    """The study `earlier` of four runs, and `other`, which names one of them too."""
    source = real_database(tmp_path / "source" / "results.db")
    export_database(str(source), tmp_path / "export", "jsonl", {})
    import_folder(tmp_path / "export", any_url)
    with connected(any_url) as connection:
        _share(connection)
    for folder, name in (("histograms/" + FINISHED, "1-2.npz"), ("histograms/" + SECOND, "1-2.npz"),
                         ("weights", f"{SECOND}.safetensors")):  # fmt: skip
        path = files_folder(any_url) / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 1000)
    return any_url


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = open_engine(url, create=False)
    try:
        with engine.execution_options(**WRITE).begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _share(connection: Connection) -> None:
    cells, studies, runs = schema.cells, schema.studies, schema.runs
    for table in (cells, studies):
        query = select(table).where(table.c.study == "earlier")
        if table is cells:
            query = query.where(cells.c.run_key == FINISHED)
        rows = [dict(row) for row in connection.execute(query).mappings()]
        connection.execute(insert(table), [{**row, "study": "other"} for row in rows])
    kept = update(runs).where(runs.c.run_key == SECOND)
    connection.execute(kept.values(weights_file=f"{SECOND}.safetensors", weights_sha256="0" * 64))


def counted(url: str, *tables: str) -> list[int]:
    with connected(url) as connection:
        known = schema.metadata.tables
        return [connection.scalar(select(func.count()).select_from(known[t])) or 0 for t in tables]


@pytest.mark.slow
def test_what_another_study_names_stays(filled: str) -> None:
    held = {each.study: each for each in list_studies(filled)}
    assert [(e.runs, e.finished, e.alone) for e in held.values()] == [(4, 3, 3), (1, 1, 0)]
    planned = what_goes(filled, "earlier")
    removal = delete_study(filled, "earlier")
    assert asdict(removal) == asdict(planned)
    assert (len(removal.runs), removal.shared, removal.weights) == (
        3,
        1,
        (f"{SECOND}.safetensors",),
    )
    assert remove_files(filled, removal) == (2, 2000)
    folder = files_folder(filled)
    assert not (folder / "weights" / f"{SECOND}.safetensors").exists()
    assert not (folder / "histograms" / SECOND).exists()
    assert (folder / "histograms" / FINISHED / "1-2.npz").exists()
    assert [each.study for each in list_studies(filled)] == ["other"]
    kept = ("runs", "cells", "studies", "architectures", "metrics")
    assert counted(filled, *kept) == [1, 1, 1, 1, 2]
    assert check_integrity(filled) == []
    freed, why = give_back_space(filled)
    assert (freed >= 0, why) == (True, None)
    last = delete_study(filled, "other")
    assert (last.runs, last.finished) == ((FINISHED,), 1)
    assert counted(filled, *(name for name in schema.metadata.tables if name != "choices")) == [
        0
    ] * (len(schema.metadata.tables) - 1)


def test_another_name_changes_no_result(filled: str) -> None:
    with connected(filled) as connection:
        before = connection.execute(select(schema.runs).order_by(schema.runs.c.run_key)).all()
    assert "has a study 'other' already" in message(
        DatabaseError, lambda: rename_study(filled, "earlier", "other")
    )
    assert rename_study(filled, "earlier", "later") == 4
    assert {each.study: each.runs for each in list_studies(filled)} == {"later": 4, "other": 1}
    with connected(filled) as connection:
        after = connection.execute(select(schema.runs).order_by(schema.runs.c.run_key)).all()
        definitions = connection.execute(
            select(schema.studies.c.study, schema.studies.c.definition)
        )
        assert all(
            row.definition["name"] == row.study for row in definitions if row.study != "other"
        )
    assert after == before


def test_what_is_being_trained_is_left_alone(filled: str) -> None:
    runs, me = schema.runs, current_owner()
    owner = {"owner_host": me.host, "owner_pid": me.pid, "owner_started": me.started}
    with connected(filled) as connection:
        mine = update(runs).where(runs.c.run_key == SECOND)
        connection.execute(mine.values(status=RunStatus.RUNNING, **owner))
    for do in (
        lambda: delete_study(filled, "earlier"),
        lambda: rename_study(filled, "earlier", "later"),
    ):
        assert f"being trained by process {me.pid}" in message(DatabaseError, do)
    assert counted(filled, "runs", "cells") == [4, 5]
    with connected(filled) as connection:
        connection.execute(mine.values(owner_started=0.0))  # its process has ended
    delete_study(filled, "earlier")
    assert counted(filled, "runs") == [1]


@pytest.mark.slow
def test_the_commands(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    database = real_database(shell.folder / "results" / "ablation.db")
    code, out, _ = shell("study", "list")
    assert (code, "earlier" in out, "next: ablate status earlier" in out) == (0, True, True)
    for arguments, said in (
        (("delete", "../../earlier"), "is no name of a study"),
        (("rename", "earlier", "a/b"), "is no name of a study"),
        (("rename", "earlier", "earlier"), "is its name already"),
        (("delete", "earliest"), "did you mean 'earlier'?"),
        (("delete", "earlier"), "add --yes"),
    ):
        code, _, err = shell("study", *arguments)
        assert (code, err.count("\n"), said in err) == (2, 1, True), err
    logs = shell.folder / "results" / "tensorboard" / "earlier"
    shell("tensorboard", "--no-serve")
    assert list(logs.rglob("events.out.tfevents.ablate"))
    (logs / "mine.txt").write_text("not of ablate")
    code, out, _ = shell("study", "rename", "earlier", "later")
    assert (code, 'name = "later"' in out) == (0, True)
    assert [path.name for path in logs.rglob("*")] == ["mine.txt"]
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE big (a)")
        connection.execute("INSERT INTO big VALUES (zeroblob(5000000))")
        connection.execute("DROP TABLE big")
    before = database.stat().st_size
    code, out, _ = shell("study", "delete", "later", "--yes")
    assert (code, "deleted: 4 runs (3 finished) and" in out) == (0, True)
    assert before - database.stat().st_size > 5_000_000
    assert " MiB given back" in out
    assert out.splitlines()[-1] == "next: ablate study list"
    assert "has no study yet" in shell("study", "list")[1]


@pytest.mark.slow
def test_it_asks_first(tmp_path: Path) -> None:
    real_database(tmp_path / "results" / "ablation.db")
    for answer, left in ((b"n\n", ["earlier"]), (b"y\n", [])):
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            [sys.executable, "-m", "ablate", "study", "delete", "earlier"], cwd=tmp_path,
            stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ) as process:  # fmt: skip
            os.write(ours, answer)
            out, _ = process.communicate(timeout=60)
        for end in (ours, theirs):
            os.close(end)
        assert b"4 runs (3 finished)" in out
        assert process.returncode == (0 if not left else 130)
        url = f"sqlite:///{tmp_path / 'results' / 'ablation.db'}"
        assert [each.study for each in list_studies(url)] == left


def test_optunas_copy_loses_the_searches_of_a_study_and_no_others(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 'optuna.db'}", create=True)
    for name in ("small on digits (1-2-3)", "small on digits (4-5-6)", "smaller on digits (1-2-3)"):
        optuna.create_study(storage=storage, study_name=name)
    assert forget_searches(f"sqlite:///{tmp_path / 'r.db'}", "small") == 2
    assert [each.study_name for each in storage.get_all_studies()] == ["smaller on digits (1-2-3)"]
    close_storage(storage)
    assert forget_searches(f"sqlite:///{tmp_path / 'elsewhere' / 'r.db'}", "small") == 0


@pytest.mark.parametrize("torn", [b"no database at all", b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_damaged_copy_of_optunas_stays_and_is_a_note(
    torn: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{real_database(tmp_path / 'r.db')}"
    (tmp_path / "optuna.db").write_bytes(torn)
    rename("earlier", "later", url)
    assert "note: what was made of earlier stays where it is: " in capsys.readouterr().out
    delete("later", url, yes=True)
    said = capsys.readouterr().out
    assert said.count("note: ") == 1
    assert "deleted: 4 runs (3 finished)" in said
    assert list_studies(url) == []
    assert (tmp_path / "optuna.db").read_bytes() == torn
