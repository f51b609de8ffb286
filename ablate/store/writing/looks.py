"""Looks at a study's verdicts, written by whoever shows a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection

from ablate.errors import DatabaseError
from ablate.stats.looks import Look
from ablate.store import schema
from ablate.store.connection.engine import open_engine
from ablate.store.connection.transaction import transact
from ablate.store.progress.status import StudyKey
from ablate.store.reading.looks import read_looks
from ablate.store.statements import add_missing
from ablate.system.digest import digest
from ablate.system.process.clock import now

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
