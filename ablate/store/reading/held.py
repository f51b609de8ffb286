"""Under which settings and on which images a database holds a study: what its name alone stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from ablate.errors import unknown
from ablate.result.elsewhere import is_elsewhere
from ablate.store import schema
from ablate.store.connection.engine import database_exists, reading
from ablate.study.data import DATA_PROTOCOL
from ablate.study.keys import by_difference


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


def stored_settings(url: str, study: str) -> list[str]:
    """Under what a study was run, in short and one for each; none where there is no database.

    Raises:
        DatabaseError: there is one, but it is not ours or newer.
    """
    if not database_exists(url):
        return []
    table = schema.studies
    with reading(url) as connection:
        rows = connection.execute(select(table).where(table.c.study == study))
        return [
            f"{row.dataset} (content {row.dataset_hash[:8]}), {in_short(row.definition)}"
            for row in rows
        ]


def _trained_by(recipe: Mapping[str, Any]) -> str:
    trainer = recipe.get("trainer")
    return f"learning_rate={recipe['learning_rate']:g}" if trainer is None else f"trainer={trainer}"


def in_short(definition: Mapping[str, Any]) -> str:
    """What tells the settings of a study apart."""
    if is_elsewhere(definition):
        return "trained elsewhere"
    recipe, size = definition["recipe"], definition["image_size"]
    data = by_difference(definition.get("data") or {}, DATA_PROTOCOL)
    return (
        f"{definition['backbone']}, {size}×{size}, epochs={recipe['epochs']}, "
        f"batch_size={recipe['batch_size']}, {_trained_by(recipe)}, "
        f"split={recipe['split']}"
        + "".join(f", {key}={value}" for key, value in data.items())
        + (f", weights={definition['weights']}" if definition.get("weights") else "")
    )
