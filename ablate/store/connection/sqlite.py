"""SQLite: how connections to a file behave, and its backup."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL

from ablate.errors import DatabaseError
from ablate.store.connection.sqlite_file import BUSY_SECONDS, UNTRUSTED
from ablate.system.files.atomic import whole_file

WRITE = "ablate_write"
"""The execution option of a transaction that writes."""


def make_engine(url: URL) -> Engine:
    """An engine whose transactions lock the file at once if they write."""
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: Any) -> None:
        # Python's sqlite3 begins transactions by itself, deferred, and not around DDL. We do it.
        connection.isolation_level = None
        for pragma in UNTRUSTED:
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        # A deferred transaction that turns into a writer fails at once when another one writes.
        writes = connection.get_execution_options().get(WRITE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def trust(engine: Engine) -> None:
    """Let views call functions, now that all of them are known to be ours: some versions of SQLite count
    `json_extract` among those that an untrusted view may not call.
    """
    engine.dispose()  # the connections that looked at it

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: Any) -> None:
        connection.execute("PRAGMA trusted_schema = ON")


def back_up(path: Path, target: Path) -> None:
    """Copy a database whose write lock we hold; the copy is there whole or not at all.

    Raises:
        DatabaseError: it cannot be written; nothing is left behind.
    """
    try:
        with (
            whole_file(target) as temporary,
            closing(sqlite3.connect(path)) as source,
            closing(sqlite3.connect(temporary)) as copy,
        ):
            source.backup(copy)
    except (OSError, sqlite3.Error) as error:
        raise DatabaseError(
            f"{target}: the backup before the upgrade cannot be written: {error}. Nothing was changed"
        ) from None


def journal_mode(connection: Connection) -> str | None:
    """How SQLite keeps a commit whole; None for another kind of database."""
    if connection.dialect.name != "sqlite":
        return None
    return str(connection.scalar(text("PRAGMA journal_mode")))
