"""What a study's runs made of each test image, from the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select, text

from ablate.result.image_results import Bits, ImageResults, Said
from ablate.result.predictions import image_count, unpack_labels
from ablate.store import schema
from ablate.store.folds import Dealt
from ablate.system.text import plural

Rows = Sequence[Any]


def read_image_results(
    connection: Connection, of_study: str, values: Mapping[str, Any], image_size: int
) -> ImageResults:
    """Those of the finished runs that this condition on `cells` names. `values` are its parameters, with
    the `dataset_hash`. Of runs of a fold there are the predictions, of its images alone.
    """
    runs = schema.runs
    mine = text(f"run_key IN (SELECT run_key FROM cells WHERE {of_study})")  # noqa: S608
    columns = (
        *(runs.c.run_key, runs.c.test_accuracy, runs.c.test_correct, runs.c.test_predictions),
        *(runs.c.fold, runs.c.test_images),
    )
    query = select(*columns).where(
        runs.c.status == "finished", runs.c.test_correct.is_not(None), mine
    )
    every = connection.execute(query.order_by(runs.c.run_key), dict(values)).all()
    rows = [row for row in every if row.fold is None]
    dealt = {
        row.run_key: row.test_predictions
        for row in every
        if row.fold is not None and len(row.test_predictions or b"") == 4 * (row.test_images or 0)
    }
    sets, content = schema.test_sets, values["dataset_hash"]
    known = connection.execute(select(sets).where(sets.c.dataset_hash == content)).first()
    images = known.images if known is not None else _counted(rows)
    whole = [row for row in rows if len(row.test_correct) == (images + 7) // 8]
    said = {row.run_key: row.test_predictions for row in whole if row.test_predictions is not None}
    return ImageResults(
        correct=Bits({row.run_key: row.test_correct for row in whole}, images),
        said=Said({k: packed for k, packed in said.items() if len(packed) == 4 * images} | dealt),
        labels=unpack_labels(known.labels) if known is not None and known.labels else None,
        classes=tuple(known.classes or ()) if known is not None else (),
        pictures=_pictures(connection, content, image_size),
        notes=_notes(rows, whole, images),
    )


def read_dealt(
    connection: Connection, of_study: str, values: Mapping[str, Any]
) -> dict[str, Dealt]:
    """Which images the finished runs of folds were tested on, and which they got right, by run key."""
    runs = schema.runs
    mine = text(f"run_key IN (SELECT run_key FROM cells WHERE {of_study})")  # noqa: S608
    query = select(runs.c.run_key, runs.c.test_first, runs.c.test_images, runs.c.test_correct)
    there = query.where(
        runs.c.status == "finished", runs.c.test_images.is_not(None), runs.c.fold.is_not(None), mine
    )
    return {
        row.run_key: Dealt(row.test_first, row.test_images, row.test_correct)
        for row in connection.execute(there, dict(values))
        if row.test_correct is not None
    }


def _counted(rows: Rows) -> int:
    """How many images there are by the first run that tells; 0 if none does."""
    counts = (image_count(row.test_correct, row.test_accuracy) for row in rows)
    return next((count for count in counts if count is not None), 0)


def _notes(rows: Rows, whole: Rows, images: int) -> tuple[str, ...]:
    others = len(rows) - len(whole)
    if not others:
        return ()
    known = f"{images:,} test images" if images else "a number of test images that nothing tells"
    return (
        f"{plural(others, 'finished run')} not compared image by image: stored for another number of "
        f"images than the {known} of this data set.",
    )


def _pictures(connection: Connection, content: str, image_size: int) -> dict[int, bytes]:
    table = schema.test_pictures
    mine = table.c.dataset_hash == content, table.c.image_size == image_size
    rows = connection.execute(select(table.c.image, table.c.content).where(*mine))
    return {row.image: row.content for row in rows}
