"""Databases of earlier revisions, kept as SQL text, come up to date with everything that was in them."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from conftest import claim_one, message
from store_processes import open_killed_at_every_statement

from ablate.errors import DatabaseError
from ablate.store.migrate import backup_path
from ablate.store.read import check_integrity
from ablate.store.revisions import HEAD, REVISIONS
from ablate.store.store import Store
from ablate.store.views import VIEWS
from ablate.system import files

EARLIER = Path(__file__).parent / "databases"
IN_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
"""Where hundreds of commits take no time; what the disk does is not what is tested."""


def rows(path: Path, table: str, columns: str = "*") -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as connection:
        return connection.execute(f"SELECT {columns} FROM {table}").fetchall()  # noqa: S608


def text_of(path: Path) -> str:
    """Everything in a database, as SQL."""
    with closing(sqlite3.connect(path)) as connection:
        return "\n".join(connection.iterdump())


def text_of_bytes(content: bytes, folder: Path) -> str:
    (folder / "bytes.db").write_bytes(content)
    return text_of(folder / "bytes.db")


def columns(path: Path, view: str) -> str:
    with sqlite3.connect(path) as connection:
        cursor = connection.execute(f"SELECT * FROM {view} LIMIT 0")  # noqa: S608
    return ", ".join(name for name, *_ in cursor.description)


def test_every_earlier_revision_has_a_database_here() -> None:
    assert {path.stem for path in EARLIER.glob("*.sql")} == set(REVISIONS) - {HEAD}


EARLIER_REVISIONS = sorted(set(REVISIONS) - {HEAD})


def earlier(revision: str, path: Path) -> Path:
    """A database of that revision, made anew from its text."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((EARLIER / f"{revision}.sql").read_text())
    return path


@pytest.mark.parametrize("revision", EARLIER_REVISIONS)
def test_an_earlier_database_comes_up_to_date(revision: str, tmp_path: Path) -> None:
    path = earlier(revision, tmp_path / "earlier.db")
    as_it_was = path.read_bytes()
    promised = {view: columns(path, view) for view in VIEWS}
    before = {view: rows(path, view, names) for view, names in promised.items()}
    assert all(before.values()), "there is something in every view"
    store = Store(f"sqlite:///{path}")
    assert rows(path, "ablate_version") == [(HEAD,)]
    assert {view: rows(path, view, names) for view, names in promised.items()} == before
    assert check_integrity(f"sqlite:///{path}") == []
    backup = backup_path(path)
    assert backup.name == f"earlier.db.before-{HEAD}.bak"
    assert text_of(backup) == text_of_bytes(as_it_was, tmp_path)
    planned = [key for (key,) in rows(path, "(SELECT run_key FROM runs WHERE status = 'planned')")]
    claim = claim_one(store, planned)
    assert claim is not None, "and it is used as any other"
    assert store.resume(claim) is None


def test_a_backup_that_cannot_be_written_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    path = earlier("0001", tmp_path / "earlier.db")
    before = path.read_bytes()
    monkeypatch.setattr(files.os, "replace", full)
    text = message(DatabaseError, lambda: Store(f"sqlite:///{path}"))
    assert f"before-{HEAD}.bak: the backup before the upgrade cannot be written" in text
    assert text.endswith("No space left on device. Nothing was changed")
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["earlier.db"]


@pytest.mark.parametrize(("revision", "every"), [("0001", 2), (None, 6)], ids=["0001", "new"])
def test_killed_at_any_statement_a_second_try_completes(
    revision: str | None, every: int, tmp_path: Path
) -> None:
    """With SIGKILL, in a process without torch; `every` leaves some statements out, for time."""
    source = earlier(revision, tmp_path / "earlier.db") if revision else None
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        arguments = (source, Path(folder), every, queue)
        process = context.Process(target=open_killed_at_every_statement, args=arguments)
        process.start()
        kills, ends = queue.get(timeout=120)
        process.join()
    assert kills >= 8
    assert len(ends) == 1, "every second try came to the same end"
    assert f"VALUES('{HEAD}')" in ends[0]
