"""Opening a results database: ours or refused, created or brought up to date."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError as SqlError
from sqlalchemy.exc import DBAPIError, OperationalError

from ablate.errors import DatabaseError
from ablate.store.connection import postgres, sqlite
from ablate.store.connection.address import files_folder, is_sqlite, parse_url, shown
from ablate.store.connection.migrate import check_and_migrate, table_names
from ablate.store.connection.sqlite_file import failed, refuse_other_files

__all__ = [
    "WRITE",
    "clear_errors",
    "database_exists",
    "files_folder",
    "open_engine",
    "parse_url",
    "reading",
    "server_tables",
    "shown",
]

WRITE = {sqlite.WRITE: True}

INSUFFICIENT_PRIVILEGE = "42501"
READ_ONLY = "25006"


def open_engine(url: str, *, create: bool) -> Engine:
    """An engine on a database that is ours and up to date.

    With `create` a missing SQLite file or an empty PostgreSQL database gets our schema and an older
    one is migrated; without it they are errors, and nothing is written.

    Raises:
        DatabaseError: not ours, newer than this version, missing or not to be opened. It is left as
            it was.
    """
    parsed = parse_url(url)
    if is_sqlite(parsed):
        refuse_other_files(Path(str(parsed.database)), create=create)
    engine = _make_engine(parsed)
    try:
        check_and_migrate(engine, create=create)
    except DBAPIError as error:
        engine.dispose()
        raise DatabaseError(
            f"{shown(parsed)}: cannot be used as a database: {_one_line(error)}"
        ) from None
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def reading(url: str) -> Iterator[Connection]:
    """A connection to read from, for as long as the context lasts.

    Raises:
        DatabaseError: missing, not ours, newer, or not to be opened.
    """
    engine = open_engine(url, create=False)
    try:
        with clear_errors(shown(engine.url), "read"), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def clear_errors(name: str | None, doing: str) -> Iterator[None]:
    """What the database's own library complains of, as one line; our own mistakes stay as they are.

    Raises:
        DatabaseError: the database is damaged, full, locked for too long, gone or cannot be used.
    """
    try:
        yield
    except SqlError as error:
        not_allowed = getattr(error.orig, "sqlstate", None) in (INSUFFICIENT_PRIVILEGE, READ_ONLY)
        theirs = isinstance(error, OperationalError) or type(error) is SqlError or not_allowed
        if not theirs and not error.connection_invalidated:
            raise
        raise failed(name, doing, _one_line(error)) from None


def database_exists(url: str) -> bool:
    """Whether there is a file at all, or in a PostgreSQL database any table.

    Raises:
        DatabaseError: the server cannot be asked.
    """
    parsed = parse_url(url)
    return Path(str(parsed.database)).exists() if is_sqlite(parsed) else bool(server_tables(url))


def server_tables(url: str) -> set[str]:
    """The names of all tables in a PostgreSQL database, whoever made them.

    Raises:
        DatabaseError: the server cannot be asked.
    """
    parsed = parse_url(url)
    engine = _make_engine(parsed)
    try:
        with clear_errors(shown(parsed), "read"):
            return table_names(engine)
    finally:
        engine.dispose()


def _make_engine(url: URL) -> Engine:
    return sqlite.make_engine(url) if is_sqlite(url) else postgres.make_engine(url)


def _one_line(error: DBAPIError) -> str:
    """What the library said; a server's answer has several lines."""
    return " ".join(str(error.orig).split()).rstrip(".?")
