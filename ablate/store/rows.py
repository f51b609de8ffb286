"""Values → rows, and the few statements that every table needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects.sqlite import insert as upsert

from ablate.digest import digest
from ablate.store import schema

if TYPE_CHECKING:
    from ablate.plan import Cell, Plan


def run_row(cell: Cell, plan: Plan, content_hash: str) -> dict[str, Any]:
    """A run that nobody has trained yet."""
    return {
        "run_key": cell.run_key,
        "fingerprint": cell.architecture.fingerprint,
        "dataset_hash": content_hash,
        "recipe": plan.study.recipe.model_dump(mode="json"),
        "seed": cell.seed,
        "status": "planned",
        "attempts": 0,
        "heartbeat": 0,
    }


def cell_row(ordinal: int, cell: Cell, plan: Plan) -> dict[str, Any]:
    """A run's place in a study, under the study's name for its variant."""
    variant = cell.variant
    return {
        "study": plan.study.name,
        "run_key": cell.run_key,
        "dataset": plan.dataset.label,
        "setting": plan.study.setting,
        "ordinal": ordinal,
        "variant": variant.name,
        "attention": variant.attention,
        "position": variant.position,
        "reduction": variant.option("reduction"),
        "kernel_size": variant.option("kernel_size"),
        "options": dict(variant.options),
    }


def add_missing(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert the rows whose keys are new; the others stay as they are."""
    listed = list(rows)
    if listed:
        connection.execute(upsert(table).on_conflict_do_nothing(), listed)


def replacing(table: Table, row: Mapping[str, Any]) -> Any:
    """The statement that inserts a row in place of one with the same key."""
    keys = [column.name for column in table.primary_key]
    rest = {name: value for name, value in row.items() if name not in keys}
    return upsert(table).values(**row).on_conflict_do_update(index_elements=keys, set_=rest)


def add_environment(connection: Connection, environment: Mapping[str, Any]) -> str:
    """Store an environment once; returns its id."""
    row = {"environment_id": digest(dict(environment)), "content": dict(environment)}
    add_missing(connection, schema.environments, [row])
    return str(row["environment_id"])


def chunks(keys: Sequence[Any], size: int = 500) -> Iterable[Sequence[Any]]:
    """Pieces that fit into one statement's list of parameters."""
    return (keys[i : i + size] for i in range(0, len(keys), size))


def now() -> str:
    """This moment in UTC, as ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
