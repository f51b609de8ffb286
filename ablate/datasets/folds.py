"""Folds: every image is tested once, and trained on in all the other folds. The same on every machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ablate.errors import DataError

FOLD_SEED = 400
"""Fixed: it decides in which fold each image is tested, for all seeds and all variants."""

Folds = NDArray[np.int64]
"""The fold in which each image is tested, from 1. Shape: (N,)."""


def deal_folds(
    labels: NDArray[np.integer],
    folds: int,
    classes: Sequence[str],
    groups: NDArray[np.int64] | None = None,
) -> Folds:
    """In which of so many folds each image is tested: the images of each class are dealt out one by one in an
    order of chance, so that folds and the classes in them differ by one image at most. With `groups` whole
    groups are dealt, the largest first, each to where least of its classes is.

    Shape: labels (N,), groups (N,) → (N,).

    Raises:
        DataError: a class has fewer images than there are folds, or there are fewer groups than folds, or
            a class whose images one fold has all, so that nothing is left to train on.
    """
    if groups is not None:
        return _deal_groups(labels, folds, classes, groups)
    _, sizes = np.unique(labels, return_counts=True)
    if sizes.min() < folds:
        raise DataError(
            f"data.folds is {folds}, and class {classes[int(sizes.argmin())]!r} has "
            f"{sizes.min()} images, so that some folds would not test it: give at most "
            f"{max(2, sizes.min())} folds, or add images"
        )
    # By class, in an order of chance in each; dealing goes on from one class to the next.
    order = np.lexsort((np.random.PCG64(FOLD_SEED).random_raw(len(labels)), labels))
    dealt = np.empty(len(labels), dtype=np.int64)
    dealt[order] = np.arange(len(labels)) % folds + 1
    return dealt


def _deal_groups(
    labels: NDArray[np.integer], folds: int, classes: Sequence[str], groups: NDArray[np.int64]
) -> Folds:
    names, members = np.unique(groups, return_inverse=True)
    if len(names) < folds:
        raise DataError(
            f"data.folds is {folds}, and there are {len(names)} groups (data.group), none of which a fold "
            f"may part: give at most {max(2, len(names))} folds, or group them otherwise"
        )
    counts = np.zeros((len(names), len(classes)), dtype=np.int64)
    np.add.at(counts, (members, labels), 1)
    dealt = _fold_of_each_group(counts, folds)
    held = np.zeros((folds, len(classes)), dtype=np.int64)
    np.add.at(held, dealt, counts)
    sizes = counts.sum(axis=0)
    if (whole := np.flatnonzero(((held == sizes) & (sizes > 0)).any(axis=0))).size:
        raise DataError(
            f"data.folds: all images of class {classes[int(whole[0])]!r} come together in one fold by their "
            "groups (data.group), where nothing is left to train on: add images of other groups"
        )
    found: Folds = dealt[members] + 1
    return found


def _fold_of_each_group(counts: NDArray[np.int64], folds: int) -> NDArray[np.int64]:
    """Largest first, of equal ones in an order of chance. Each goes to the fold that has the smallest share
    of its classes, of equal ones to that with the fewest images, but where it would complete a class only
    if it must.

    Shape: counts (groups, classes) → (groups,), from 0.
    """
    chance = np.random.PCG64(FOLD_SEED).random_raw(len(counts))
    order = np.lexsort((chance, -counts.sum(axis=1)))
    sizes = np.maximum(counts.sum(axis=0), 1)
    held = np.zeros((folds, counts.shape[1]), dtype=np.int64)
    dealt = np.zeros(len(counts), dtype=np.int64)
    for group in order:
        mine = counts[group]
        completes = ((held + mine >= sizes) & (mine > 0)).any(axis=1)
        shares = held @ (mine / sizes**2)
        fold = np.lexsort((held.sum(axis=1), np.round(shares, 12), completes))[0]
        dealt[group] = fold
        held[fold] += mine
    return dealt
