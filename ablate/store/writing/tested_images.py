"""The test images of each data set: how many, their labels, and the pictures of a few of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Engine, func, or_, select, update

from ablate.result import Finished, RunStatus
from ablate.result.image_results import unpack_bits
from ablate.result.maps import Array
from ablate.result.predictions import image_count
from ablate.store import schema
from ablate.store.connection.transaction import reading, writing
from ablate.store.reading.folds import Dealt, join_bits
from ablate.store.statements import add_missing


def add_test_set(connection: Connection, run_key: str, result: Finished) -> bytes | None:
    """Store which images a run was tested on, if nobody has; returns its predictions, None if they are of
    others than those that stand there: then nobody could say which.
    """
    row = _row(result)
    if row is None:
        return None
    sets = schema.test_sets
    there = _tested_on(connection, run_key)
    if there is None:
        return None
    mine = sets.c.dataset_hash == there.content
    if there.images is None:
        add_missing(connection, sets, [{"dataset_hash": there.content, **row}])
        there = connection.execute(select(sets).where(mine)).one()  # another's may have come first
    if there.images != row["images"]:
        return None
    if there.labels is None and row["labels"] is not None:
        connection.execute(update(sets).where(mine).values(**row))
        return result.test_predictions
    return result.test_predictions if there.labels == row["labels"] else None


def _tested_on(connection: Connection, run_key: str) -> Any:
    """What the data set of a run is, and what is stored of its test images, each None before that."""
    runs, sets = schema.runs, schema.test_sets
    query = (
        select(runs.c.dataset_hash.label("content"), sets.c.images, sets.c.labels)
        .join_from(runs, sets, sets.c.dataset_hash == runs.c.dataset_hash, isouter=True)
        .where(runs.c.run_key == run_key)
    )
    return connection.execute(query).one_or_none()


def _row(result: Finished) -> dict[str, Any] | None:
    """What a result tells of the images, None if not even their number."""
    if result.labels is None and result.tested is not None:
        return {"images": result.tested.all, "labels": None, "classes": None}
    if result.labels is not None:
        packed, classes = result.labels.packed, list(result.labels.classes)
        return {"images": len(packed) // 2, "labels": packed, "classes": classes}
    images = image_count(result.test_correct, result.test_accuracy)
    return None if images is None else {"images": images, "labels": None, "classes": None}


class Pictures:
    """The stored pictures of test images, and the bits from which those worth one are chosen."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @reading
    def correct(
        self, connection: Connection, study: str, dataset_hash: str, setting: str
    ) -> dict[str, dict[int, Array]]:
        """Which test images the finished runs of a study got right, (N,) bool, by variant and seed."""
        runs, cells, sets = schema.runs, schema.cells, schema.test_sets
        here = sets.c.dataset_hash == dataset_hash
        images = connection.scalar(select(sets.c.images).where(here)) or 0
        query = (
            select(
                *(cells.c.variant, runs.c.seed, runs.c.test_correct),
                *(runs.c.fold, runs.c.test_first, runs.c.test_images),
            )
            .join(runs, runs.c.run_key == cells.c.run_key)
            .where(
                cells.c.study == study,
                cells.c.dataset_hash == dataset_hash,
                cells.c.setting == setting,
                runs.c.status == RunStatus.FINISHED,
                or_(
                    runs.c.test_images.is_not(None),
                    func.length(runs.c.test_correct) == (images + 7) // 8,
                ),
            )
        )
        found: dict[str, dict[int, Array]] = {}
        dealt: dict[tuple[str, int], list[Dealt]] = {}
        for row in connection.execute(query.order_by(cells.c.ordinal)):
            variant, seed, bits, fold, first, tested = row
            if fold is None:
                found.setdefault(variant, {})[seed] = unpack_bits(bits, images)
            else:
                dealt.setdefault((variant, seed), []).append(Dealt(first, tested, bits))
        for (variant, seed), parts in dealt.items():
            if (whole := join_bits(parts, images)) is not None:
                found.setdefault(variant, {})[seed] = whole
        return found

    @reading
    def stored(self, connection: Connection, dataset_hash: str, image_size: int) -> set[int]:
        """The numbers of the images that have a picture of this size."""
        table = schema.test_pictures
        mine = table.c.dataset_hash == dataset_hash, table.c.image_size == image_size
        return set(connection.scalars(select(table.c.image).where(*mine)))

    @writing
    def add(
        self,
        connection: Connection,
        dataset_hash: str,
        image_size: int,
        pictures: Mapping[int, bytes],
    ) -> None:
        """Store pictures (PNG) by the number of their image; those that are there stay."""
        place = {"dataset_hash": dataset_hash, "image_size": image_size}
        rows: Iterable[dict[str, Any]] = (
            {**place, "image": image, "content": content} for image, content in pictures.items()
        )
        add_missing(connection, schema.test_pictures, rows)
