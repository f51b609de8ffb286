"""A database as it is at this moment, to be read at leisure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool

from ablate.store.connection.engine import reading

COPIED_MIB = 512
"""A larger database is read where it is."""


@contextmanager
def reading_a_copy(url: str) -> Iterator[Connection]:
    """A connection to read from that keeps nobody from writing for longer than a copy takes.

    Who reads an SQLite file lets no writer commit: a report's queries would make them wait for
    seconds. So the file is copied into memory, in one piece, and read there.

    Raises:
        DatabaseError: missing, not ours, newer, or not to be opened.
    """
    with reading(url) as connection:
        if connection.dialect.name != "sqlite" or _size_mib(connection) > COPIED_MIB:
            yield connection
            return
        engine = create_engine("sqlite://", poolclass=StaticPool)
        try:
            with engine.connect() as copy:
                source, target = (c.connection.dbapi_connection for c in (connection, copy))
                source.backup(target)  # type: ignore[union-attr]
                connection.rollback()
                yield copy
        finally:
            engine.dispose()


def _size_mib(connection: Connection) -> float:
    pages, size = (
        connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
        for name in ("page_count", "page_size")
    )
    return float(pages * size / 2**20)
