"""Images of a study from elsewhere in two databases: they must be the same, their classes numbered alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import Connection, select, update

from ablate.errors import DatabaseError
from ablate.result.elsewhere import is_elsewhere, told_of
from ablate.result.predictions import renumber_classes, renumber_labels
from ablate.store import schema

Known = dict[str, tuple[str, str | None]]
"""By what stands for the hash of images: the study, and what says which images and labels they are."""


def align_images(source: Connection, target: Connection, there: str, here: str) -> None:
    """Number the classes of the source, a private copy, as the target does, which learns those that it lacks.

    Raises:
        DatabaseError: both have imported a study of one name on different images, or with other labels.
    """
    ours, theirs = _known(target), _known(source)
    for images in sorted(ours.keys() & theirs.keys()):
        (study, mine), (_, other) = ours[images], theirs[images]
        alike = None in (mine, other) or mine == other
        try:
            alike = alike and _aligned(source, target, images)
        except (IndexError, ValueError):
            raise DatabaseError(
                f"{there}: study {study}: what its runs predicted is damaged"
            ) from None
        if not alike:
            raise DatabaseError(
                f"{there}: study {study}: its images or their labels are others than those of that study in "
                f"{here}, and runs on different images are not compared: import its file under another name "
                "(`ablate import-results FILE --study OTHER`) and merge that"
            )


def _known(connection: Connection) -> Known:
    table = schema.studies
    rows = connection.execute(select(table.c.study, table.c.dataset_hash, table.c.definition))
    return {
        images: (study, told_of(definition).get("images"))
        for study, images, definition in rows
        if is_elsewhere(definition)
    }


def _aligned(source: Connection, target: Connection, images: str) -> bool:
    """False if they are not the same images with the same labels."""
    ours, theirs = _test_set(target, images), _test_set(source, images)
    if ours is None or theirs is None:
        return True
    classes = [*ours.classes, *(name for name in theirs.classes if name not in ours.classes)]
    numbers = np.array([classes.index(name) for name in theirs.classes])
    labels = renumber_labels(theirs.labels, numbers)
    if (ours.images, ours.labels) != (theirs.images, labels):
        return False
    sets, runs = schema.test_sets, schema.runs
    for connection in (source, target):
        mine = update(sets).where(sets.c.dataset_hash == images)
        connection.execute(mine.values(labels=labels, classes=classes))
    if np.array_equal(numbers, np.arange(len(numbers))):
        return True
    predicted = runs.c.dataset_hash == images, runs.c.test_predictions.is_not(None)
    for key in source.scalars(select(runs.c.run_key).where(*predicted)).all():
        run = runs.c.run_key == key
        said = source.scalar(select(runs.c.test_predictions).where(run))
        again = renumber_classes(said or b"", numbers)
        source.execute(update(runs).where(run).values(test_predictions=again))
    return True


def _test_set(connection: Connection, images: str) -> Any:
    """None where its labels are not known."""
    sets = schema.test_sets
    known = sets.c.dataset_hash == images, sets.c.labels.is_not(None), sets.c.classes.is_not(None)
    return connection.execute(select(sets).where(*known)).first()
