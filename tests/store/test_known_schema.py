"""What a database is made of, as it is written down, is what the migrations make."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from ablate.store.connection.known_schema import ENTRIES, entries_of, ours
from ablate.store.writing.store import Store

FILE = Path(__file__).parents[2] / "ablate/store/schema.sql"


def made(path: Path) -> list[tuple[str, str, str]]:
    Store(f"sqlite:///{path}").close()
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(ENTRIES).fetchall()


def as_text(rows: list[tuple[str, str, str]]) -> str:
    """The file's content: tables, indices, views, each by name."""
    kinds = ("table", "index", "view")
    written = sorted((kinds.index(kind), name, sql) for kind, name, sql in rows if sql)
    each = ("\n".join(line.rstrip() for line in sql.strip().splitlines()) for *_, sql in written)
    return ";\n\n".join(each) + ";\n"


def test_the_file_is_what_the_migrations_make(tmp_path: Path) -> None:
    """To write it anew: `FILE.write_text(as_text(made(path)))`."""
    rows = made(tmp_path / "new.db")
    assert entries_of(rows) == ours()
    assert FILE.read_text(encoding="utf-8") == as_text(rows)
