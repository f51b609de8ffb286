"""What the images of a data set are, into the database and out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from ablate.result.dataset import DatasetSummary
from ablate.store import schema
from ablate.store.rows import put, storable

if TYPE_CHECKING:
    from ablate.plan import Plan

OF_THE_STUDY = ("validation_images", "drawn_images")
"""What of a summary stands in the study's definition: other recipes may hold out others."""


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


def read_dataset(
    connection: Connection, content: str, definition: Mapping[str, Any]
) -> DatasetSummary | None:
    """What the images of a study are; None where it was run before that was stored."""
    table = schema.datasets
    query = select(table).where(table.c.dataset_hash == content)
    row = connection.execute(query).mappings().one_or_none()
    held_out = definition.get("validation_images")
    if row is None or not isinstance(held_out, int):
        return None
    found = {key: value for key, value in row.items() if key != "dataset_hash"}
    return DatasetSummary(
        **{
            **found,
            "train_images": row["train_images"] - held_out,
            "validation_images": held_out,
            "turned": bool(row["turned"]),
            "drawn_images": (definition.get("data") or {}).get("train_images"),
        }
    )
