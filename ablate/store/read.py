"""Reading the database without changing it. No pandas here, and no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, select, text

from ablate.store import schema
from ablate.store.connect import database_exists, open_engine
from ablate.store.rows import chunks


def stored_statuses(url: str, run_keys: Sequence[str]) -> dict[str, str]:
    """The status of runs that a database knows; nothing is known where there is no database.

    Raises:
        DatabaseError: there is one, but it is not ours or newer.
    """
    if not database_exists(url):
        return {}
    with reading(url) as connection:
        return read_statuses(connection, run_keys)


def stored_speed(url: str, device: str, dataset_hash: str) -> dict[str, float]:
    """Seconds for one epoch of each network (by fingerprint) that this device has finished runs of."""
    if not database_exists(url):
        return {}
    query = text(
        "SELECT r.fingerprint, SUM(r.seconds) / SUM(v.epochs) AS seconds FROM runs r "
        "JOIN (SELECT run_key, COUNT(*) AS epochs FROM epochs GROUP BY run_key) v "
        "ON v.run_key = r.run_key "
        "WHERE r.status = 'finished' AND r.device = :device AND r.dataset_hash = :dataset "
        "GROUP BY r.fingerprint"
    )
    with reading(url) as connection:
        rows = connection.execute(query, {"device": device, "dataset": dataset_hash})
        return {row.fingerprint: row.seconds for row in rows}


def check_integrity(url: str) -> list[str]:
    """What SQLite finds wrong with the file and rows that refer to nothing; empty if all is well.

    Raises:
        DatabaseError: not ours, newer, or not to be opened.
    """
    with reading(url) as connection:
        found = [str(line) for line in connection.scalars(text("PRAGMA integrity_check"))]
        broken = list(connection.execute(text("PRAGMA foreign_key_check")))
    problems = [line for line in found if line != "ok"]
    return problems + ([f"{len(broken)} rows refer to rows that are missing"] if broken else [])


def read_statuses(connection: Connection, run_keys: Sequence[str]) -> dict[str, str]:
    """The status of those of these runs that the database knows."""
    runs = schema.runs
    return {
        row.run_key: row.status
        for chunk in chunks(run_keys)
        for row in connection.execute(
            select(runs.c.run_key, runs.c.status).where(runs.c.run_key.in_(chunk))
        )
    }


@contextmanager
def reading(url: str) -> Iterator[Connection]:
    """A connection to read from, for as long as the context lasts.

    Raises:
        DatabaseError: missing, not ours, newer, or not to be opened.
    """
    engine = open_engine(url, create=False)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
