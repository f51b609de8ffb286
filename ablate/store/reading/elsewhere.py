"""Studies of a database whose runs were trained elsewhere, by their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from ablate.result.elsewhere import is_elsewhere
from ablate.store import schema
from ablate.store.connection.engine import database_exists, reading


@dataclass(frozen=True, slots=True)
class FromElsewhere:
    """Where a study from elsewhere lies in a database, and its definition."""

    study: str
    setting: str
    dataset: str
    dataset_hash: str
    definition: Mapping[str, Any]


def elsewhere_of(url: str, study: str) -> FromElsewhere | None:
    """The study of that name, if there is one from elsewhere; None too where there is no database.

    Raises:
        DatabaseError: there is one, but it is not ours or older.
    """
    if not database_exists(url):
        return None
    with reading(url) as connection:
        return read_elsewhere(connection, study)


def read_elsewhere(connection: Connection, study: str) -> FromElsewhere | None:
    """The study of that name, if there is one from elsewhere."""
    table = schema.studies
    names = ("study", "setting", "dataset", "dataset_hash", "definition")
    query = select(*(table.c[name] for name in names)).where(table.c.study == study)
    for row in connection.execute(query.order_by(table.c.updated_at.desc())):
        if is_elsewhere(row.definition):
            return FromElsewhere(*row)
    return None
