"""Values → rows: of plans, images, environments and networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select, update

from ablate.result import RunStatus
from ablate.store import schema
from ablate.store.statements import add_missing, put, storable
from ablate.system.digest import digest

if TYPE_CHECKING:
    from ablate.plan import Cell, Plan
    from ablate.result import Architecture
    from ablate.study import Option, Variant

OF_THE_STUDY = ("validation_images", "drawn_images")
"""What of a summary stands in the study's definition: other recipes may hold out others."""


def run_row(cell: Cell, plan: Plan, content_hash: str) -> dict[str, Any]:
    """A run that nobody has trained yet."""
    return {
        "run_key": cell.run_key,
        "fingerprint": cell.architecture.fingerprint,
        "dataset_hash": content_hash,
        "recipe": {**plan.study.conditions, **plan.own_code},
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


def put_dataset(connection: Connection, plan: Plan, content: str) -> None:
    """Store what a plan's images are, where they were counted; what was found last stands."""
    if plan.data is None:
        return
    found = {k: v for k, v in plan.data.document().items() if k not in OF_THE_STUDY}
    texts = {k: storable(v) for k, v in found.items() if isinstance(v, str)}
    row = {
        **found,
        **texts,
        "train_images": plan.data.train_images + plan.data.validation_images,
        "turned": int(plan.data.turned),
        "passed_over": {storable(kind): n for kind, n in plan.data.passed_over.items()},
    }
    put(connection, schema.datasets, [{"dataset_hash": content, **row}])
