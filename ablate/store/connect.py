"""Opening a results database: ours or refused, created or brought up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import DatabaseError as SqlError

from ablate.errors import DatabaseError
from ablate.store.schema import VERSION_TABLE

HEAD = "0003"
"""The newest revision; a test holds it against the migrations."""
REVISIONS = ("0001", "0002", HEAD)

BUSY_SECONDS = 60
WRITE = {"ablate_write": True}
SQLITE_MAGIC = b"SQLite format 3\x00"


def open_engine(url: str, *, create: bool) -> Engine:
    """An engine on a database that is ours and up to date.

    With `create` a missing database is made and an older one migrated; without it a missing
    database is an error, and nothing is written.

    Raises:
        DatabaseError: not ours, newer than this version, missing or not to be opened. The file is
            left as it was.
    """
    parsed = parse_url(url)
    path = Path(str(parsed.database))
    _refuse_other_files(path, create=create)
    created = not path.exists()
    if created:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseError(f"{path.parent}: cannot be made: {error.strerror}") from None
    engine = _make_engine(parsed)
    try:
        _check_and_migrate(engine, path, create=create)
    except DBAPIError as error:
        raise DatabaseError(f"{path}: cannot be used as a database: {error.orig}") from None
    return engine


def parse_url(url: str) -> URL:
    """The URL of a database; a plain file name stands for SQLite.

    Raises:
        DatabaseError: not a URL, or a kind of database that is not supported.
    """
    try:
        parsed = make_url(url if "://" in url else f"sqlite:///{url}")
    except ArgumentError:
        raise DatabaseError("--db: not a database URL: write sqlite:///FILE") from None
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.query:
        shown = parsed.render_as_string(hide_password=True)
        raise DatabaseError(f"--db {shown}: only SQLite files are supported: write sqlite:///FILE")
    return parsed


@contextmanager
def clear_errors(path: str | None, doing: str) -> Iterator[None]:
    """What the database's own library complains of, as one line; our own mistakes stay as they are.

    Raises:
        DatabaseError: the file is damaged, full, locked for too long or cannot be used.
    """
    try:
        yield
    except SqlError as error:
        if not isinstance(error, OperationalError) and type(error) is not SqlError:
            raise
        raise DatabaseError(
            f"{path}: cannot be {doing}: {error.orig}. What was stored before stays: look at "
            "`ablate doctor`, mend that and run again to go on"
        ) from None


def database_exists(url: str) -> bool:
    """Whether there is a file at all."""
    return Path(str(parse_url(url).database)).exists()


def _refuse_other_files(path: Path, *, create: bool) -> None:
    """Look before SQLite does: it would not touch another file, but would say less about it."""
    if not path.exists():
        if not create:
            raise DatabaseError(f"{path}: there is no database yet: `ablate run STUDY` makes it")
        return
    try:
        with path.open("rb") as file:
            head = file.read(len(SQLITE_MAGIC))
    except OSError as error:
        raise DatabaseError(f"{path}: cannot be read: {error.strerror}") from None
    if head != SQLITE_MAGIC and not (head == b"" and create):
        raise DatabaseError(f"{path}: is not an SQLite database: give another file with --db")


def _make_engine(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: Any) -> None:
        # Python's sqlite3 begins transactions by itself, deferred, and not around DDL. We do it.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        # A deferred transaction that turns into a writer fails at once when another one writes.
        writes = connection.get_execution_options().get("ablate_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _check_and_migrate(engine: Engine, path: Path, *, create: bool) -> None:
    with engine.connect() as connection:
        revision = _revision(connection, path)
    if revision == HEAD:
        return
    if not create:
        raise DatabaseError(f"{path}: an older database: `ablate run STUDY` brings it up to date")
    with engine.execution_options(**WRITE).begin() as connection:
        if _revision(connection, path) != HEAD:  # nobody else was faster
            _upgrade(connection)


def _revision(connection: Connection, path: Path) -> str | None:
    """The database's revision, None for an empty one.

    Raises:
        DatabaseError: somebody else's tables, or a revision that this version does not know.
    """
    tables = inspect(connection).get_table_names()
    if not tables:
        return None
    if VERSION_TABLE not in tables:
        raise DatabaseError(
            f"{path}: a database of another program (it has the table {tables[0]!r}): "
            "give another file with --db"
        )
    revision = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    if revision not in (None, *REVISIONS):
        raise DatabaseError(
            f"{path}: made by a newer ablate (revision {revision}; this one knows {HEAD}): "
            "update ablate, or give another file with --db"
        )
    return revision


def _upgrade(connection: Connection) -> None:
    # Here, not above: alembic takes a while to import and is needed once in a database's life.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def journal_mode(connection: Connection) -> str | None:
    """How SQLite keeps a commit whole; None for another kind of database."""
    if connection.dialect.name != "sqlite":
        return None
    return str(connection.scalar(text("PRAGMA journal_mode")))
