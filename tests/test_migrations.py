"""Databases of earlier revisions, kept as SQL text, come up to date with everything that was in them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from conftest import claim_one

from ablate.store.connect import HEAD, REVISIONS
from ablate.store.read import check_integrity
from ablate.store.schema import VIEWS
from ablate.store.store import Store

EARLIER = Path(__file__).parent / "databases"


def rows(path: Path, table: str, columns: str = "*") -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as connection:
        return connection.execute(f"SELECT {columns} FROM {table}").fetchall()  # noqa: S608


def columns(path: Path, view: str) -> str:
    with sqlite3.connect(path) as connection:
        cursor = connection.execute(f"SELECT * FROM {view} LIMIT 0")  # noqa: S608
    return ", ".join(name for name, *_ in cursor.description)


def test_every_earlier_revision_has_a_database_here() -> None:
    assert {path.stem for path in EARLIER.glob("*.sql")} == set(REVISIONS) - {HEAD}


@pytest.mark.parametrize("revision", sorted(set(REVISIONS) - {HEAD}))
def test_an_earlier_database_comes_up_to_date(revision: str, tmp_path: Path) -> None:
    path = tmp_path / "earlier.db"
    with sqlite3.connect(path) as connection:
        connection.executescript((EARLIER / f"{revision}.sql").read_text())
    promised = {view: columns(path, view) for view in VIEWS}
    before = {view: rows(path, view, names) for view, names in promised.items()}
    assert all(before.values()), "there is something in every view"
    store = Store(f"sqlite:///{path}")
    assert rows(path, "ablate_version") == [(HEAD,)]
    assert {view: rows(path, view, names) for view, names in promised.items()} == before
    assert check_integrity(f"sqlite:///{path}") == []
    planned = [key for (key,) in rows(path, "(SELECT run_key FROM runs WHERE status = 'planned')")]
    claim = claim_one(store, planned)
    assert claim is not None, "and it is used as any other"
    assert store.resume(claim) is None
