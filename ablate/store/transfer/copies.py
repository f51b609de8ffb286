"""A private copy of a database: what leaves it is read from there, so nobody waits for a reader.

The copy is an SQLite file in a temporary folder, whatever the original is; an older one is brought up to
date there and the original stays as it was. Nothing in it is at work: who ran what, and files that stay
beside the original, are left out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Column, Connection, Table, delete, insert, select, union, update

from ablate.errors import DatabaseError
from ablate.result import RunStatus
from ablate.store import schema
from ablate.store.connection.address import is_sqlite, parse_url, shown
from ablate.store.connection.contents import refuse_other_contents
from ablate.store.connection.engine import (
    WRITE,
    clear_errors,
    database_exists,
    open_engine,
    reading,
)
from ablate.store.connection.sqlite_file import BUSY_SECONDS, UNTRUSTED

ROWS_AT_ONCE = 2000
STAYED = "its file lies beside the database that it came from"


@contextmanager
def private_copy(
    url: str, study: str | None = None, *, predictions: bool = True
) -> Iterator[Connection]:
    """A connection to a copy of a database as it is now, or of one study's part of it; if asked for
    without what runs predicted.

    Raises:
        DatabaseError: missing, not ours, newer, not to be read, with rows that ablate does not store, or
            without that study.
    """
    if not database_exists(url):
        raise DatabaseError(f"{shown(url)}: there is no such database")
    with TemporaryDirectory(prefix="ablate-") as folder:
        copy = Path(folder) / "copy.db"
        try:
            _copy(url, copy)
            engine = open_engine(f"sqlite:///{copy}", create=True)
            refuse_other_contents(copy, shown(url))
        except DatabaseError as error:
            raise DatabaseError(str(error).replace(str(copy), shown(url))) from None
        try:
            with clear_errors(shown(url), "copied"):
                with engine.execution_options(**WRITE).begin() as connection:
                    _put_to_rest(connection)
                    if study is not None:
                        _keep_only(connection, study, shown(url))
                    if not predictions:
                        connection.execute(update(schema.runs).values(test_predictions=None))
                with engine.connect() as connection:
                    yield connection
        finally:
            engine.dispose()


def portable_columns(table: Table) -> list[Column[object]]:
    """The columns that mean something elsewhere: numbers that a database counts itself do not."""
    return [column for column in table.columns if column is not table.autoincrement_column]


def copy_rows(source: Connection, target: Connection, table: Table) -> None:
    """Insert all rows of a table into the same table of another database."""
    columns = portable_columns(table)
    query = select(*columns).order_by(*table.primary_key.columns)
    found = source.execute(query, execution_options={"yield_per": ROWS_AT_ONCE}).mappings()
    for rows in found.partitions():
        target.execute(insert(table), [dict(row) for row in rows])


def _copy(url: str, copy: Path) -> None:
    parsed = parse_url(url)
    if is_sqlite(parsed):
        _copy_file(Path(str(parsed.database)), copy)
        return
    engine = open_engine(f"sqlite:///{copy}", create=True)
    with reading(url) as source, engine.execution_options(**WRITE).begin() as target:
        # One moment for all tables.
        source.execution_options(isolation_level="REPEATABLE READ")
        for table in schema.metadata.sorted_tables:
            copy_rows(source, target, table)
    engine.dispose()


def _copy_file(path: Path, copy: Path) -> None:
    """SQLite's own backup: a moment's worth of reading, and no statement runs on the original."""
    address = f"{path.absolute().as_uri()}?mode=rw"  # rw makes no file, and reads a read-only one
    try:
        with (
            closing(sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            for pragma in UNTRUSTED:
                source.execute(f"PRAGMA {pragma}")
            # The backup itself would wait for a lock for ever.
            source.execute("BEGIN").execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
            source.backup(target)
    except sqlite3.Error as error:
        raise DatabaseError(
            f"{path}: cannot be copied into a temporary folder (TMPDIR says where): {error}"
        ) from None


def _put_to_rest(connection: Connection) -> None:
    """Running runs are stopped, nobody owns any, and files that do not travel are not named."""
    runs, traces = schema.runs, schema.traces
    nobody = {"token": None, "owner_host": None, "owner_pid": None, "owner_started": None}
    connection.execute(update(runs).values(**nobody, heartbeat=0))
    connection.execute(
        update(runs).where(runs.c.status == RunStatus.RUNNING).values(status=RunStatus.STOPPED)
    )
    connection.execute(delete(schema.checkpoints))
    named = traces.c.file.is_not(None)
    connection.execute(update(traces).where(named).values(file=None, reason=STAYED))


def _keep_only(connection: Connection, study: str, name: str) -> None:
    """Delete what other studies have, and what belongs to nobody then."""
    known = sorted(set(connection.scalars(select(schema.studies.c.study))))
    if study not in known:
        raise DatabaseError(
            f"{name}: has no study {study!r}; there are: {', '.join(known) or '(none)'}"
        )
    cells, runs, trials, costs = schema.cells, schema.runs, schema.trials, schema.costs
    tables = list(reversed(schema.metadata.sorted_tables))
    for table in tables:
        if "study" in table.columns:
            connection.execute(delete(table).where(table.c.study != study))
    for table in tables:
        if "run_key" in table.columns and table is not cells:
            lost = table.c.run_key.not_in(select(cells.c.run_key))
            connection.execute(delete(table).where(lost))
    # A trial out of bounds has no run, and its network is one of the study all the same.
    networks = union(select(runs.c.fingerprint), select(trials.c.fingerprint))
    for table in tables:
        if "fingerprint" in table.columns and table is not runs and table is not trials:
            lost = table.c.fingerprint.not_in(networks)
            connection.execute(delete(table).where(lost))
    for table in (schema.test_sets, schema.test_pictures, schema.datasets):
        lost = table.c.dataset_hash.not_in(select(runs.c.dataset_hash))
        connection.execute(delete(table).where(lost))
    used = union(
        select(runs.c.environment_id).where(runs.c.environment_id.is_not(None)),
        select(costs.c.environment_id),
    )
    table = schema.environments
    connection.execute(delete(table).where(table.c.environment_id.not_in(used)))
