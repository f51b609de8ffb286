"""A file with one row for each run and test image: what was right, and what was predicted.

A million rows are read one by one; what is kept of each are a few numbers.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ablate.elsewhere.cells import EMPTY, shown
from ablate.elsewhere.columns import PROBABILITY, Columns
from ablate.elsewhere.values import GivenImages, GivenResults, GivenRun
from ablate.errors import DataError
from ablate.result.metrics import Score
from ablate.result.predictions import MOST_CLASSES, NUMBER, ONE, pack_labels
from ablate.stats.metrics import OF_PREDICTIONS, count, recall_by_class
from ablate.study.metrics import RECALL

Numbers = NDArray[np.int64]
MOST_IMAGES = 10_000_000
UNKNOWN = 0
"""Stored where no probability is given: that of a predicted class is never 0."""
_AS_WHOLE = re.compile(r"-?\d+\.0+")


@dataclass
class _Run:
    """What the rows of a run say, in their order."""

    variant: str
    seed: int
    row: int
    images: array[int] = field(default_factory=lambda: array("i"))
    said: array[int] = field(default_factory=lambda: array("i"))
    certain: array[int] = field(default_factory=lambda: array("H"))
    rows: array[int] = field(default_factory=lambda: array("q"))


@dataclass
class _Seen:
    """Everything that was read: runs, images with their labels and where these stood first, classes."""

    columns: Columns
    runs: dict[tuple[str, int], _Run] = field(default_factory=dict)
    by_text: dict[tuple[str, str], _Run] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    labels: list[int] = field(default_factory=list)
    label_rows: list[int] = field(default_factory=list)
    classes: dict[str, int] = field(default_factory=dict)
    by_class_text: dict[str, int] = field(default_factory=dict)


def read_images(columns: Columns) -> GivenResults:
    """The runs of a file, each on the same images with the same labels.

    Raises:
        DataError: a cell that is not what its column needs, an image that stands twice in a run, has two
            labels or is missing in a run.
    """
    seen = _Seen(columns)
    rows = _read(seen)
    if not seen.runs:
        raise DataError(f"{columns.sheet.file}: has no row below the names of its columns")
    _refuse_strangers(seen)
    order = _order(list(seen.images))
    names = [name for name, _ in sorted(seen.images.items(), key=lambda pair: order[pair[1]])]
    classes = _order(list(seen.classes))
    called = tuple(sorted(seen.classes, key=lambda name: classes[seen.classes[name]]))
    labels = np.empty(len(names), dtype=np.int64)
    labels[order] = classes[np.array(seen.labels)]
    packed = pack_labels(labels, called)
    if packed is None:
        raise DataError(
            f"{columns.sheet.file}: has more than {MOST_CLASSES:,} classes, which are too many"
        )
    runs = tuple(_given(seen, run, order, classes, labels, called) for run in seen.runs.values())
    written = "\n".join((str(len(names)), *names, *(called[i] for i in labels)))
    images = GivenImages(
        len(names), packed.packed, called, hashlib.sha256(written.encode()).hexdigest()
    )
    return GivenResults(runs, rows, images, columns.notes)


def _read(seen: _Seen) -> int:
    """Read all rows; returns how many there are."""
    place, rows = seen.columns.place, 0
    variant, seed, image = place["variant"], place["seed"], place["image"]
    label, predicted, probability = place["label"], place["predicted"], place.get(PROBABILITY)
    by_text, images, labels, classes = seen.by_text, seen.images, seen.labels, seen.by_class_text
    for row, cells in seen.columns.sheet.rows:
        rows += 1
        run = by_text.get((cells[variant], cells[seed])) or _run_of(seen, row, cells)
        known, said = classes.get(cells[label]), classes.get(cells[predicted])
        if known is None:
            known = _class_of(seen, row, "label", cells[label])
        if said is None:
            said = _class_of(seen, row, "predicted", cells[predicted])
        number = images.get(cells[image])
        if number is None:
            number = _image_of(seen, row, cells[image], known)
        elif labels[number] != known:
            raise _other_label(seen, row, cells, number)
        run.images.append(number)
        run.said.append(said)
        run.rows.append(row)
        if probability is not None:
            run.certain.append(_certain(seen, row, cells[probability]))
    return rows


def _run_of(seen: _Seen, row: int, cells: list[str]) -> _Run:
    columns = seen.columns
    given = cells[columns.place["variant"]], cells[columns.place["seed"]]
    variant, seed = (
        columns.of("variant").text(row, given[0]),
        columns.of("seed").seed(row, given[1]),
    )
    run = seen.runs.setdefault((variant, seed), _Run(variant, seed, row))
    seen.by_text[given] = run
    return run


def _class_of(seen: _Seen, row: int, meaning: str, cell: str) -> int:
    """The number of a class. `3.0`, as a column of numbers with a gap is written, is 3."""
    name = cell.partition(".")[0] if _AS_WHOLE.fullmatch(cell) else cell
    if name.lower() in EMPTY - {"none", "na", "-"}:
        raise seen.columns.of(meaning).error(
            row, "is empty: every image has a label and a prediction"
        )
    name = seen.columns.of(meaning).text(row, name)
    number = seen.classes.setdefault(name, len(seen.classes))
    seen.by_class_text[cell] = number
    return number


def _image_of(seen: _Seen, row: int, cell: str, label: int) -> int:
    name = seen.columns.of("image").text(row, cell, 1000)
    if len(seen.images) >= MOST_IMAGES:
        raise seen.columns.of("image").error(row, f"more than {MOST_IMAGES:,} images are too many")
    seen.labels.append(label)
    seen.label_rows.append(row)
    return seen.images.setdefault(name, len(seen.images))


def _other_label(seen: _Seen, row: int, cells: list[str], image: int) -> DataError:
    place, names = seen.columns.place, {number: name for name, number in seen.classes.items()}
    return seen.columns.of("label").error(
        row,
        f"image {shown(cells[place['image']])} is {shown(cells[place['label']])} here and "
        f"{shown(names[seen.labels[image]])} in row {seen.label_rows[image]}: an image has one label",
    )


def _certain(seen: _Seen, row: int, cell: str) -> int:
    """A probability as it is stored."""
    column = seen.columns.of(PROBABILITY)
    value = column.number(row, cell)
    if value is None:
        return UNKNOWN
    if not 0 < value <= 1:
        raise column.error(
            row, f"{shown(cell)} is not above 0 and at most 1: write that of the predicted class"
        )
    return max(1, round(value * ONE))


def _refuse_strangers(seen: _Seen) -> None:
    """Labels and predictions that have no class in common are written in two ways."""
    labelled = set(seen.labels)
    said = {each for run in seen.runs.values() for each in set(run.said)}
    if labelled & said:
        return
    names = {number: name for name, number in seen.classes.items()}
    label, guess = shown(names[min(labelled)]), shown(names[min(said)])
    raise DataError(
        f"{seen.columns.sheet.file}: no predicted class is among the labels (label {label}, predicted "
        f"{guess}): write classes alike in both columns"
    )


def _order(names: Sequence[str]) -> Numbers:
    """The place of each name in an order that does not depend on the file's: by number, else by letter."""
    numbers = all(name.isascii() and name.isdigit() for name in names)
    keys = [(int(name), name) if numbers else (0, name) for name in names]
    places = np.empty(len(names), dtype=np.int64)
    places[sorted(range(len(names)), key=keys.__getitem__)] = np.arange(len(names))
    return places


def _given(
    seen: _Seen,
    run: _Run,
    order: Numbers,
    classes: Numbers,
    labels: Numbers,
    called: Sequence[str],
) -> GivenRun:
    images = np.frombuffer(run.images, dtype=np.int32)
    _refuse_incomplete(seen, run, images)
    predicted = np.empty(len(labels), dtype=np.int64)
    predicted[order[images]] = classes[np.frombuffer(run.said, dtype=np.int32)]
    certain = np.full(len(labels), UNKNOWN, dtype=np.int64)
    if run.certain:
        certain[order[images]] = np.frombuffer(run.certain, dtype=np.uint16)
    right = predicted == labels
    counts = count(labels, predicted)
    scores = [Score("test", name, float(of(counts))) for name, of in OF_PREDICTIONS.items()]
    scores += [
        Score("test", RECALL, value, called[number])
        for number, value in recall_by_class(labels, predicted).items()
    ]
    return GivenRun(
        variant=run.variant,
        seed=run.seed,
        row=run.row,
        test_accuracy=float(right.sum() / len(right)),
        scores=tuple(scores),
        correct=np.packbits(right).tobytes(),
        predictions=np.stack([predicted, certain], axis=1).astype(NUMBER).tobytes(),
    )


def _refuse_incomplete(seen: _Seen, run: _Run, images: NDArray[np.int32]) -> None:
    times = np.bincount(images, minlength=len(seen.images))
    called = f"variant {run.variant}, seed {run.seed}"
    if times.max() > 1:
        number = int(times.argmax())
        first, second = (run.rows[int(i)] for i in np.flatnonzero(images == number)[:2])
        name = next(name for name, each in seen.images.items() if each == number)
        raise DataError(
            f"{seen.columns.sheet.file}: rows {first} and {second} are both image {shown(name)} of {called}: "
            "an image has one row in a run; give another run another seed"
        )
    if not times.min():
        number = int(times.argmin())
        name = next(name for name, each in seen.images.items() if each == number)
        raise DataError(
            f"{seen.columns.sheet.file}: {called} has no row for image {shown(name)}, which row "
            f"{seen.label_rows[number]} has: all runs are tested on the same images"
        )
