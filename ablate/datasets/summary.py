"""A dataset in numbers: from its files alone, or from its arrays where they are there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.datasets.base import Dataset, Images, fold_of_all
from ablate.datasets.examine import Examined, examine, examined_before, refuse_dead
from ablate.datasets.repeats import Scanned
from ablate.datasets.split import hold_out
from ablate.errors import DataError
from ablate.result.dataset import DatasetSummary
from ablate.study import DataTable, Recipe

Sizes = NDArray[np.int64]


def refuse_one_class(dataset: Dataset) -> None:
    """Raise where there is nothing to tell apart.

    Raises:
        DataError: there is one class.
    """
    classes = dataset.classes()
    if len(classes) < 2:
        raise DataError(
            f"{dataset.label}: has one class, {classes[0]!r}, and there is nothing to tell apart; add another"
        )


def summarize_dataset(
    dataset: Dataset, recipe: Recipe, table: DataTable, images: Images | None = None
) -> DatasetSummary | None:
    """What a study has of a dataset; None where nobody knows without reading images. Without `images`
    nothing is decoded: what was found in them before is taken from the cache.

    Raises:
        DataError: all images to train on, or all to test, are the same; or none can be held out.
    """
    sizes = dataset.class_sizes() if images is None else _sizes(images)
    if sizes is None:
        return None
    scanned = dataset.scanned() or Scanned()
    if scanned.repeats is not None:
        refuse_dead(dataset, scanned.repeats)
    found = examined_before(dataset) if images is None else examine(dataset, images)
    if found is not None:
        refuse_dead(dataset, found.repeats, found.shaped_by_alpha)
    train, test = sizes
    folds = dataset.train_folds()
    # Of folds the first stands for all: they differ by few images.
    own, held_out = _for_validation(dataset, train, recipe, images, None if folds is None else 1)
    trained, tested = int(train.sum()), test
    if folds is not None:
        trained, tested = int((folds != 1).sum()), train
    names = dataset.classes()
    few, many, most = int(train.argmin()), int(train.argmax()), int(tested.argmax())
    return DatasetSummary(
        classes=len(names),
        train_images=trained - held_out,
        validation_images=own + held_out,
        test_images=int(tested.sum()),
        smallest_class=names[few],
        smallest_class_images=int(train[few]),
        largest_class=names[many],
        largest_class_images=int(train[many]),
        majority_class=names[most],
        majority_share=float(tested[most] / tested.sum()),
        drawn_images=table.train_images,
        passed_over=scanned.passed_over,
        turned_images=scanned.turned,
        turned=dataset.reading.orientation == "exif",
        **_compared(scanned, found),
        **_dealt(folds),
    )


def count_trained(
    dataset: Dataset, recipe: Recipe, table: DataTable, fold: int | None = None
) -> int | None:
    """How many images a run is trained on: without those that its fold tests or that are held out, and of
    what is left those that are drawn. None where nobody knows without reading images.

    Raises:
        DataError: none can be held out.
    """
    if table.train_images is not None:
        return table.train_images
    sizes = dataset.class_sizes()
    if sizes is None:
        return None
    _, held_out = _for_validation(dataset, sizes[0], recipe, None, fold)
    folds = dataset.train_folds()
    there = int(sizes[0].sum()) if folds is None else int((folds != fold).sum())
    return there - held_out


def _compared(scanned: Scanned, found: Examined | None) -> dict[str, Any]:
    """What is known of equal images: of the arrays that are used, else of the files."""
    repeats = scanned.repeats if found is None else found.repeats
    if repeats is None:
        return {}
    return {
        "compared": "files" if found is None else f"pixels at {found.side}×{found.side}",
        "tested_in_training": repeats.tested_in_training,
        "in_two_classes": repeats.in_two_classes,
        "plain_images": None if found is None else found.plain,
        "transparent_images": None if found is None else found.shaped_by_alpha,
    }


def _dealt(folds: NDArray[np.int64] | None) -> dict[str, Any]:
    """How many folds there are, and how many images they test."""
    if folds is None:
        return {}
    sizes = np.bincount(folds)[1:]
    return {
        "folds": len(sizes),
        "smallest_fold_images": int(sizes.min()),
        "largest_fold_images": int(sizes.max()),
    }


def _sizes(images: Images) -> tuple[Sizes, Sizes]:
    count = len(images.classes)
    train, test = (
        np.bincount(labels, minlength=count) for labels in (images.train_labels, images.test_labels)
    )
    return train, test


def _for_validation(
    dataset: Dataset, sizes: Sizes, recipe: Recipe, images: Images | None, fold: int | None
) -> tuple[int, int]:
    """How many images are for validation: of the dataset's own, and held out of those to train on, which a
    fold does not test.
    """
    if recipe.split == "tutorial":
        return 0, 0
    own = dataset.val_labels() if images is None else images.val_labels
    if own is not None:
        return len(own), 0
    groups, labels = dataset.train_groups(), np.repeat(np.arange(len(sizes)), sizes)
    if groups is not None and (known := dataset.train_labels()) is not None:
        labels = known  # in the order of the groups; without groups the sizes alone decide
    if fold is not None and (known := dataset.train_labels()) is not None:
        rest = fold_of_all(dataset.train_folds(), fold).rest
        labels, groups = known[rest], None if groups is None else groups[rest]
    return 0, len(hold_out(labels, recipe.validation_fraction, groups=groups)[1])
