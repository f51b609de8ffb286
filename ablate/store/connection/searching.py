"""One search of a study at a time, and none while its database is changed as a whole.

A search knows its trials from memory: who adds some to the database meanwhile ends it. Beside an SQLite file
a lock file is held, in the folder that the file really lies in. A server is asked for locks of its own, as
two machines have no folder in common: in a transaction that stays open, which also a connection pooler
leaves alone, and which ends with the process that holds it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from ablate.errors import DatabaseError
from ablate.store.connection import postgres
from ablate.store.connection.address import is_sqlite, parse_url, shown
from ablate.store.connection.engine import WRITE, clear_errors
from ablate.system.files.lock import only_one

PREFIX, SUFFIX = ".search-", ".lock"
EVERY_SEARCH = ""
"""The lock that searches share, and that a change of the whole database has alone: no study is called so."""


@contextmanager
def only_search(url: str, study: str) -> Iterator[None]:
    """While no other search of a study can begin on a database: one process asks, or trials would be asked
    twice.

    Raises:
        DatabaseError: another one is under way, or the database is being changed as a whole.
        OutputError: another one is under way, or the folder of the database cannot be written.
    """
    parsed = parse_url(url)
    busy = (
        f"another `ablate search` of {study} is under way on {shown(parsed)}: let it work, or end "
        "it first"
    )
    if is_sqlite(parsed):
        with only_one(search_lock(parsed, study), busy):
            yield
        return
    with _on_server(parsed) as server:
        if not _take(server, EVERY_SEARCH, shared=True):
            raise DatabaseError(
                f"{shown(parsed)}: another database is being merged into it or imported: search again when "
                "that is done"
            )
        if not _take(server, study):
            raise DatabaseError(busy)
        yield


@contextmanager
def without_search(url: str, study: str | None = None) -> Iterator[None]:
    """While no search of a study is under way, or, without one, none at all. Of SQLite that means: of any
    database in the same folder. Whoever adds trials calls it inside the transaction that adds them: a search
    that begins then waits for that to end, and reads them.

    Raises:
        DatabaseError: one is under way on the server.
        OutputError: one is under way beside the file.
    """
    parsed = parse_url(url)
    if not is_sqlite(parsed):
        with _on_server(parsed) as server:
            if not _take(server, EVERY_SEARCH if study is None else study):
                raise DatabaseError(_busy(parsed, study))
            yield
        return
    with ExitStack() as stack:
        for path in _locks(parsed, study):
            name = path.name.removeprefix(PREFIX).removesuffix(SUFFIX)
            stack.enter_context(only_one(path, _busy(parsed, name)))
        yield


def search_lock(url: URL, study: str) -> Path:
    """The file beside an SQLite database that a search of a study holds; also where a link leads to it."""
    return Path(str(url.database)).resolve().parent / f"{PREFIX}{study}{SUFFIX}"


def _locks(url: URL, study: str | None) -> list[Path]:
    if study is not None:
        path = search_lock(url, study)
        return [path] if path.exists() else []
    return sorted(search_lock(url, "").parent.glob(f"{PREFIX}*{SUFFIX}"))


def _busy(url: URL, study: str | None) -> str:
    of = "" if study is None else f" of {study}"
    return f"`ablate search`{of} is under way on {shown(url)}: end it first"


@contextmanager
def _on_server(url: URL) -> Iterator[Connection]:
    """A transaction for locks alone. It may be idle as long as a search takes."""
    engine = postgres.make_engine(url)
    with ExitStack() as stack:
        stack.callback(engine.dispose)
        with clear_errors(shown(url), "read"):
            connection = engine.execution_options(**WRITE).connect()
            stack.callback(_end, connection)
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        yield connection


def _end(connection: Connection) -> None:
    """One that broke meanwhile has lost its locks, and nothing else."""
    with suppress(DBAPIError):
        connection.close()


def _take(connection: Connection, name: str, *, shared: bool = False) -> bool:
    """Take a lock until the end of the transaction; False if somebody else has it."""
    of_kind = "pg_try_advisory_xact_lock_shared" if shared else "pg_try_advisory_xact_lock"
    key = hashlib.sha256(f"ablate search {name}".encode()).digest()[:8]
    number = int.from_bytes(key, "big", signed=True)
    with clear_errors(shown(connection.engine.url), "read"):
        # Written out: a statement with parameters keeps its snapshot until the next one, and that would keep
        # the server from clearing up for as long as the search takes.
        return bool(connection.scalar(text(f"SELECT {of_kind}({number})")))
