"""Under which settings and on which images a database holds a study: what its name alone stands for."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from ablate.errors import unknown
from ablate.store import schema
from ablate.store.read import reading


@dataclass(frozen=True, slots=True)
class Held:
    """A study on one data set, known by its content, under one setting."""

    study: str
    setting: str
    dataset: str
    dataset_hash: str


def held_of(url: str, study: str) -> list[Held]:
    """All that a database holds of a study, in the order of data sets and settings.

    Raises:
        UnknownNameError: it has no such study; names the nearest one.
        DatabaseError: there is no database, or it cannot be read.
    """
    table = schema.studies
    columns = (table.c.study, table.c.setting, table.c.dataset, table.c.dataset_hash)
    with reading(url) as connection:
        rows = connection.execute(select(*columns).order_by(*columns[2:], columns[1])).all()
    found = [Held(*row) for row in rows if row.study == study]
    if not found:
        raise unknown("study", study, sorted({row.study for row in rows}))
    return found
