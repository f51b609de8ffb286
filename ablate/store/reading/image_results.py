"""What a study's runs made of each test image, from the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, select, text

from ablate.result.image_results import Bits, ImageResults, Said
from ablate.result.predictions import image_count, unpack_labels
from ablate.store import schema
from ablate.store.reading.folds import Dealt
from ablate.system.messages.text import plural

Rows = Sequence[Any]

MOST_SAID_BYTES = 512 * 2**20
"""Predictions take four bytes an image and run: of a hundred thousand runs on CIFAR-10, four gigabytes."""


def read_image_results(
    connection: Connection, of_study: str, values: Mapping[str, Any], image_size: int
) -> ImageResults:
    """Those of the finished runs that this condition on `cells` names. `values` are its parameters, with
    the `dataset_hash`. Of runs of a fold there are the predictions, of its images alone.
    """
    runs = schema.runs
    mine = text(f"run_key IN (SELECT run_key FROM cells WHERE {of_study})")  # noqa: S608
    columns = (
        *(runs.c.run_key, runs.c.test_accuracy, runs.c.test_correct),
        *(runs.c.fold, runs.c.test_images, runs.c.seed),
        func.length(runs.c.test_predictions).label("said_bytes"),
    )
    known_of = (runs.c.status == "finished", runs.c.test_correct.is_not(None), mine)
    query = select(*columns).where(*known_of).order_by(runs.c.run_key)
    every = connection.execute(query, dict(values)).all()
    rows = [row for row in every if row.fold is None]
    last = _last_seed(every)
    answers = select(runs.c.run_key, runs.c.test_predictions).where(*known_of, runs.c.seed <= last)
    predicted = {
        row.run_key: row.test_predictions
        for row in connection.execute(answers.order_by(runs.c.run_key), dict(values))
        if row.test_predictions is not None
    }
    dealt = {
        row.run_key: predicted[row.run_key]
        for row in every
        if row.fold is not None
        and len(predicted.get(row.run_key, b"")) == 4 * (row.test_images or 0)
    }
    sets, content = schema.test_sets, values["dataset_hash"]
    known = connection.execute(select(sets).where(sets.c.dataset_hash == content)).first()
    images = known.images if known is not None else _counted(rows)
    whole = [row for row in rows if len(row.test_correct) == (images + 7) // 8]
    said = {row.run_key: predicted[row.run_key] for row in whole if row.run_key in predicted}
    return ImageResults(
        correct=Bits({row.run_key: row.test_correct for row in whole}, images),
        said=Said({k: packed for k, packed in said.items() if len(packed) == 4 * images} | dealt),
        labels=unpack_labels(known.labels) if known is not None and known.labels else None,
        classes=tuple(known.classes or ()) if known is not None else (),
        pictures=_pictures(connection, content, image_size),
        notes=(*_notes(rows, whole, images), *_left_out(every, last)),
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


def _last_seed(rows: Rows) -> int:
    """Up to which seed all that was predicted fits into memory: every seed, but where there are very many."""
    sizes: Counter[int] = Counter()
    for row in rows:
        sizes[row.seed] += row.said_bytes or 0
    together, last = 0, 0
    for seed in sorted(sizes):
        together += sizes[seed]
        if last and together > MOST_SAID_BYTES:
            return last
        last = seed
    return last


def _left_out(rows: Rows, last: int) -> tuple[str, ...]:
    left = sum(row.seed > last and bool(row.said_bytes) for row in rows)
    if not left:
        return ()
    return (
        f"what single runs said of each image is that of seeds 1 to {last:,}: of "
        f"{plural(left, 'run')} with other seeds it would not fit into memory, and only what they got right "
        "is compared.",
    )


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
