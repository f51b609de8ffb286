"""Plain SQL on an SQLite file, without SQLAlchemy: to load that takes longer than to look."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from ablate.store.connection.known_schema import (
    ENTRIES,
    entries_of,
    refuse_other_schema,
    refuse_what_acts,
)
from ablate.store.connection.revisions import (
    VERSION_TABLE,
    refuse_newer,
    refuse_older,
    refuse_others,
)
from ablate.store.connection.sqlite_file import BUSY_SECONDS, UNTRUSTED, failed, refuse_other_files


class Ask(Protocol):
    """The rows of a query, whose question marks stand for the values."""

    def __call__(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...


@contextmanager
def asking_file(path: Path) -> Iterator[Ask]:
    """Ask an SQLite file as it is at one moment. Nothing can be written.

    Raises:
        DatabaseError: missing, not ours, newer or older, or not to be read.
    """
    refuse_other_files(path, create=False)
    try:
        with closing(open_file(path)) as connection:

            def ask(sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
                return connection.execute(sql, values).fetchall()

            _refuse(str(path), ask)
            yield ask
    except sqlite3.Error as error:
        raise failed(str(path), "read", str(error)) from None


def open_file(path: Path) -> sqlite3.Connection:
    """A connection to an SQLite file that reads one moment of it, and trusts nothing that is in it.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    # Not opened read-only: what a killed process was writing must be rolled back first.
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    for pragma in ("query_only = ON", *UNTRUSTED):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN")
    return connection


def _refuse(name: str, ask: Ask) -> None:
    tables = [table for (table,) in ask("SELECT name FROM sqlite_master WHERE type = 'table'")]
    refuse_others(name, tables)
    entries = entries_of(ask(ENTRIES))
    if entries:
        refuse_what_acts(name, entries)
    rows = ask(f"SELECT version_num FROM {VERSION_TABLE}") if tables else []
    revision = rows[0][0] if rows else None
    refuse_newer(name, revision)
    refuse_older(name, revision)
    refuse_other_schema(name, entries)
