"""Values → rows, and the few statements that every table needs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, select, update
from sqlalchemy.dialects import sqlite

from ablate.result import RunStatus
from ablate.store import schema
from ablate.system.digest import digest

if TYPE_CHECKING:
    from ablate.plan import Cell, Plan
    from ablate.result import Architecture
    from ablate.study import Option, Variant


def run_row(cell: Cell, plan: Plan, content_hash: str) -> dict[str, Any]:
    """A run that nobody has trained yet."""
    return {
        "run_key": cell.run_key,
        "fingerprint": cell.architecture.fingerprint,
        "dataset_hash": content_hash,
        "recipe": plan.study.conditions,
        "seed": cell.seed,
        "fold": cell.fold,
        "status": RunStatus.PLANNED,
        "attempts": 0,
        "heartbeat": 0,
    }


def cell_row(ordinal: int, cell: Cell, plan: Plan, content_hash: str) -> dict[str, Any]:
    """A run's place in a study, under the study's name for its variant."""
    return {
        "study": plan.study.name,
        "run_key": cell.run_key,
        "dataset": plan.dataset.label,
        "setting": plan.study.setting,
        "ordinal": ordinal,
        "dataset_hash": content_hash,
        **variant_columns(cell.variant),
    }


def variant_columns(variant: Variant) -> dict[str, Any]:
    """What a cell says of its variant."""
    return {
        "variant": variant.name,
        "attention": variant.attention,
        "position": variant.position,
        "reduction": _number(variant.option("reduction")),
        "kernel_size": _number(variant.option("kernel_size")),
        "options": dict(variant.options),
    }


def _number(value: Option | None) -> float | None:
    """An option for its column; one with several values stands in `options` alone."""
    return None if isinstance(value, str) else value


def add_missing(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert the rows whose keys are new; the others stay as they are."""
    listed = list(rows)
    if listed:
        connection.execute(_upsert(connection, table).on_conflict_do_nothing(), listed)


def put(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert rows of the same columns, each in place of one with the same key."""
    listed = [dict(row) for row in rows]
    if listed:
        statement = _upsert(connection, table)
        keys = [column.name for column in table.primary_key]
        rest = {name: statement.excluded[name] for name in listed[0] if name not in keys}
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=rest), listed)


def _upsert(connection: Connection, table: Table) -> Any:
    """An INSERT that can say what happens to keys that exist; each kind of database has its own."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    return sqlite.insert(table)


def add_environment(connection: Connection, environment: Mapping[str, Any]) -> str:
    """Store an environment once; returns its id."""
    row = {"environment_id": digest(dict(environment)), "content": dict(environment)}
    add_missing(connection, schema.environments, [row])
    return str(row["environment_id"])


def add_architectures(connection: Connection, architectures: Iterable[Architecture]) -> None:
    """Store those that are new, and of the others what was not stored yet when they were described."""
    table = schema.architectures
    rows = {each.fingerprint: asdict(each) for each in architectures}
    add_missing(connection, table, rows.values())
    uncounted = select(table.c.fingerprint).where(table.c.elementwise.is_(None))
    for fingerprint in rows.keys() & set(connection.scalars(uncounted)):
        counted = {name: rows[fingerprint][name] for name in ("elementwise", "activations")}
        mine = table.c.fingerprint == fingerprint
        connection.execute(update(table).where(mine).values(**counted))


def storable(text: str | None) -> str | None:
    """A text that every database takes: no lone surrogates, and no NUL, which PostgreSQL refuses."""
    if text is None:
        return None
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")


def chunks(keys: Sequence[Any], size: int = 500) -> Iterable[Sequence[Any]]:
    """Pieces that fit into one statement's list of parameters."""
    return (keys[i : i + size] for i in range(0, len(keys), size))


def now() -> str:
    """This moment in UTC, as ISO 8601 with milliseconds.

    Counted from this process's first look at the clock: whoever sets it meanwhile makes no run end
    before it began.
    """
    began, before = _first_look()
    moment = began + timedelta(seconds=_elapsed() - before)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@cache
def _first_look() -> tuple[datetime, float]:
    return datetime.now(UTC), _elapsed()


def _elapsed() -> float:
    """Seconds on a clock that nobody sets, and that goes on while the machine sleeps where there is one."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
