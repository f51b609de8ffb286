"""What the images of a data set are, into the database (`reading.datasets` reads it)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection

from ablate.store import schema
from ablate.store.connection.statements import put, storable

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
