"""Data sets: how they are named to people, by a label that two of them may share and by their content, and
what their images are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from ablate.result.dataset import DatasetSummary
from ablate.store import schema
from ablate.store.connection.engine import database_exists, reading
from ablate.store.reading.held import in_short
from ablate.system.messages.language import _, amount

SHORT = 8
"""Digits of a content's hash that people are shown."""


def called(row: Row[tuple[object, ...]]) -> str:
    """The images of a row of `studies`."""
    return f"{row.dataset} (content {row.dataset_hash[:SHORT]})"


def nothing_of(study: str, rows: Sequence[Any], name: str | None, content_hash: str | None) -> str:
    """That a study was not run so, and how it was: `rows` are its rows of `studies`."""
    there = "; ".join(f"{called(row)}, {in_short(row.definition)}" for row in rows)
    if not there:
        return f"the database has no runs of study {study!r}: `ablate run` of its file trains them"
    content = f" (content {content_hash[:SHORT]})" if content_hash else ""
    return (
        f"the database has no runs of study {study!r}"
        + (f" on {name!r}{content}" if name else "")
        + " with this backbone, image size and recipe; it has: "
        + f"{there} (use the --data and --set that they were run with)"
    )


def told_namesakes(url: str, study: str, label: str, content_hash: str) -> str | None:
    """A line about other images on which a study was run under the same name; None if there are none.

    Raises:
        DatabaseError: there is a database, but it is not ours or newer.
    """
    if not database_exists(url):
        return None
    table = schema.studies
    query = select(table.c.dataset_hash).where(
        table.c.study == study, table.c.dataset == label, table.c.dataset_hash != content_hash
    )
    with reading(url) as connection:
        others = list(dict.fromkeys(connection.scalars(query.order_by(table.c.updated_at.desc()))))
    if not others:
        return None
    shown = ", ".join(other[:SHORT] for other in others)
    return _(
        "note: {label} had other images when this study was run before (content {shown}; now {now}): that is "
        "{data_sets} of its own, with its own runs",
        label=label,
        shown=shown,
        now=content_hash[:SHORT],
        data_sets=amount(len(others), "data set"),
    )


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
