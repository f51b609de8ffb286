"""Plain SQL on any database; SQLAlchemy is loaded only where it is no plain SQLite file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ablate.store.connection.ask_file import Ask, asking_file
from ablate.store.connection.sqlite_file import plain_file


@contextmanager
def asking(url: str) -> Iterator[Ask]:
    """Ask a database as it is at one moment. Nothing can be written.

    Raises:
        DatabaseError: missing, not ours, newer or older, or not to be read.
    """
    path = plain_file(url)
    with asking_file(path) if path else _any_database(url) as ask:
        yield ask


@contextmanager
def _any_database(url: str) -> Iterator[Ask]:
    from ablate.store.connection.engine import reading

    with reading(url) as connection:

        def ask(sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
            if connection.dialect.paramstyle != "qmark":
                sql = sql.replace("?", "%s")
            return [tuple(row) for row in connection.exec_driver_sql(sql, tuple(values))]

        yield ask
