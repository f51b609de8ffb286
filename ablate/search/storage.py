"""Optuna's storage: a file or a database of its own, opened after a look at what is in it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna

from ablate.errors import DatabaseError
from ablate.store.connection.address import POSTGRES, files_folder, parse_url, same_database
from ablate.store.connection.engine import server_tables
from ablate.store.connection.sqlite_file import SQLITE, make_empty
from ablate.system.files.inside import inside

DRIVER = "postgresql+psycopg"
SQLITE_MAGIC = b"SQLite format 3\x00"
BUSY_SECONDS = 60
OURS = "ablate_version"
OPTUNAS = {"studies", "trials", "version_info"}


class _Quick(sqlite3.Connection):
    """A connection that does not wait for the disk: what is lost with the power is made anew."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.execute("PRAGMA synchronous = OFF")


def storage_url(asked: str | None, results_url: str) -> str:
    """Where Optuna's storage is: as asked, or `optuna.db` beside the results.

    Raises:
        DatabaseError: a kind that is refused, the database that the results live in, or a link beside it.
    """
    if asked is None:
        return f"{SQLITE}{inside(files_folder(results_url), 'optuna.db')}"
    _check_kind(asked)
    if same_database(asked, results_url):
        raise DatabaseError(
            f"--storage {shown(asked)}: the results live in this database: give Optuna another one"
        )
    return asked


def open_storage(url: str, *, create: bool) -> optuna.storages.RDBStorage:
    """The storage at a URL, made if it is missing and `create` says so.

    Raises:
        DatabaseError: a kind that is refused, a file that results live in, one of another program,
            or none where there should be one.
    """
    _check_kind(url)
    is_file = url.startswith(SQLITE)
    if is_file:
        path = Path(url.removeprefix(SQLITE))
        _check_file(path, create=create)
        # Connected by hand: its name may have characters that mean something in a URL.
        options: dict[str, Any] = {"creator": partial(_connect, path)}
        if create:
            _make_writable(path)
    else:
        _check_tables(shown(url), server_tables(url), create=create)
        options = {"pool_pre_ping": True, "connect_args": {"client_encoding": "UTF8"}}
    # SQLAlchemy would take PostgreSQL's name alone for another driver than the one that we depend on.
    driver = f"{SQLITE}optuna.db" if is_file else f"{DRIVER}://{url.partition('://')[2]}"
    try:
        return optuna.storages.RDBStorage(
            driver, engine_kwargs=options, skip_table_creation=not create
        )
    except (ImportError, RuntimeError, optuna.exceptions.OptunaError) as error:
        raise DatabaseError(f"--storage {shown(url)}: {str(error).splitlines()[0]}") from None
    except Exception as error:
        # The library of the database: nothing is known of its tree of errors here.
        reason = str(error).splitlines()[0]
        raise DatabaseError(f"--storage {shown(url)}: cannot be opened: {reason}") from None


def close_storage(storage: optuna.storages.BaseStorage) -> None:
    """Close the connections of a storage; it opens new ones when it is asked again."""
    storage.remove_session()
    if isinstance(storage, optuna.storages.RDBStorage):
        storage.engine.dispose()


def shown(url: str) -> str:
    """A URL without its password."""
    scheme, _, rest = url.partition("://")
    credentials, _, place = rest.rpartition("@")
    user, colon, _ = credentials.partition(":")
    return f"{scheme}://{user}:***@{place}" if colon else url


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, BUSY_SECONDS, check_same_thread=False, factory=_Quick)


def _check_kind(url: str) -> None:
    scheme = url.partition("://")[0].partition("+")[0]
    if scheme in ("redis", "rediss", "journal") or url.endswith((".log", ".journal")):
        raise DatabaseError(
            f"--storage {shown(url)}: Redis and journal storages are refused: Optuna may unpickle "
            "what lies in them; write sqlite:///FILE or postgresql://…"
        )
    if not url.startswith((SQLITE, *(f"{name}://" for name in POSTGRES))):
        raise DatabaseError(
            f"--storage {shown(url)}: not a storage: write sqlite:///FILE or postgresql://…"
        )
    if not url.startswith(SQLITE):
        parse_url(url, "--storage")


def _check_file(path: Path, *, create: bool) -> None:
    try:
        if not path.exists():
            _check_tables(str(path), set(), create=create)
            return
        with path.open("rb") as file:
            head = file.read(len(SQLITE_MAGIC))
    except OSError as error:
        raise DatabaseError(f"{path}: cannot be read: {error.strerror}") from None
    if head and head != SQLITE_MAGIC:
        raise DatabaseError(f"{path}: is not an SQLite database, so no storage of Optuna's")
    _check_tables(str(path), _tables(path) if head else set(), create=create)


def _check_tables(name: str, tables: set[str], *, create: bool) -> None:
    if OURS in tables:
        raise DatabaseError(f"{name}: results live in this database: give Optuna another one")
    if tables and not tables >= OPTUNAS:
        raise DatabaseError(
            f"{name}: a database of another program (it has the table {min(tables)!r}), not "
            "Optuna's: give another one with --storage"
        )
    if not tables and not create:
        raise DatabaseError(f"{name}: no search has run yet: `ablate search STUDY` makes it")


def _tables(path: Path) -> set[str]:
    try:
        # Not read-only: what a killed search was writing must be rolled back before it can be read.
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True)
        try:
            found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return {name for (name,) in found if not name.startswith("sqlite_")}
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        raise DatabaseError(
            f"{path}: cannot be read as a database: {error}; it is only a copy: move it away, and "
            "`ablate search STUDY` makes it anew"
        ) from None


def _make_writable(path: Path) -> None:
    """Make the file if it is missing, and try to write it before anything relies on that.

    Raises:
        DatabaseError: it cannot be made, or not be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseError(
            f"--storage {path}: its folder cannot be made: {error.strerror}"
        ) from None
    make_empty(path)
    try:
        with closing(_connect(path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            # SQLite begins that on a file that may only be read, too, and notices at the first page.
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            connection.execute(f"PRAGMA user_version = {int(version)}")
            connection.rollback()
    except sqlite3.DatabaseError as error:
        raise DatabaseError(
            f"{path}: cannot be written, as Optuna's copy of the search must be: {error}; allow that, "
            "or give another place with --storage"
        ) from None
