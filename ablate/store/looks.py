"""The looks at a study's verdicts: read with its results, written by whoever shows a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, select

from ablate.errors import DatabaseError
from ablate.stats.looks import Look
from ablate.store import schema
from ablate.store.connect import open_engine
from ablate.store.rows import add_missing, now
from ablate.store.status import StudyKey
from ablate.store.transaction import transact
from ablate.system.digest import digest

PATIENCE_SECONDS = 5.0
"""How long whoever looks waits for a database that others write to."""


def new_look(
    rule: str,
    command: str,
    n: Mapping[str, int],
    planned: Mapping[str, int],
    margin: float | None,
    family: int,
    run_keys: Iterable[str],
) -> Look:
    """A look at this moment, at these finished runs."""
    finished = digest(sorted(run_keys))
    return Look(now(), rule, command, dict(n), dict(planned), margin, family, finished)


def read_looks(connection: Connection, key: StudyKey) -> tuple[Look, ...]:
    """All looks at a study on these images under this setting, the first one first."""
    table = schema.looks
    columns = [table.c[name] for name in Look.__dataclass_fields__]
    order = table.c.looked_at, table.c.finished, table.c.rule
    rows = connection.execute(select(*columns).where(*_of(key)).order_by(*order))
    return tuple(Look(**row._mapping) for row in rows)


def add_look(connection: Connection, key: StudyKey, look: Look) -> bool:
    """Store a look; False if the last one was the same: nothing had finished since."""
    before = read_looks(connection, key)
    if before and _seen(before[-1]) == _seen(look):
        return False
    names = ("study", "dataset_hash", "setting")
    values = {name: getattr(look, name) for name in Look.__dataclass_fields__}
    add_missing(connection, schema.looks, [dict(zip(names, key, strict=True)) | values])
    return True


def record_look(url: str, key: StudyKey, look: Look) -> str | None:
    """Store a look in a database that is there; None, or why that could not be done.

    A database that nobody may write to can be looked at all the same.
    """
    try:
        engine = open_engine(url, create=False)
    except DatabaseError as error:
        return str(error)
    try:
        transact(
            engine,
            lambda connection: add_look(connection, key, look),
            writes=True,
            patience_seconds=PATIENCE_SECONDS,
        )
    except DatabaseError as error:
        return str(error)
    finally:
        engine.dispose()
    return None


def _seen(look: Look) -> tuple[Any, ...]:
    """What makes two looks the same."""
    return look.rule, look.finished, look.margin, look.family


def _of(key: StudyKey) -> tuple[Any, ...]:
    table = schema.looks
    columns = (table.c.study, table.c.dataset_hash, table.c.setting)
    return tuple(column == value for column, value in zip(columns, key, strict=True))
