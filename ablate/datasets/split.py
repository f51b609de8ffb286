"""Fixed stratified splits, the same on every machine: what is held out, and what a seed draws."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ablate.errors import DataError

VALIDATION_SEED = 45_000
"""Fixed: it decides which images every published validation accuracy is measured on."""

Indices = NDArray[np.int64]


def stratified_split(
    labels: NDArray[np.integer], fraction: float, *, seed: int = VALIDATION_SEED
) -> tuple[Indices, Indices]:
    """Indices (kept, held out), sorted, with `fraction` of each class held out.

    A class of two or more images gives at least one and keeps at least one; a class of one keeps
    it. CIFAR-10 with 0.1 gives 45,000 and 5,000.

    Shape: labels (N,) → (N - M,), (M,).

    Raises:
        DataError: no class has two images, so that nothing can be held out.
    """
    # The raw stream, not Generator.permutation: numpy promises that only the former never changes.
    keys = np.random.PCG64(seed).random_raw(len(labels))
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        held[members[np.argsort(keys[members])[:count]]] = True
    if not held.any():
        raise DataError(
            f"a split needs a class with at least 2 images; all {len(labels)} classes have 1: "
            "add images"
        )
    return np.flatnonzero(~held), np.flatnonzero(held)


def hold_out(
    labels: NDArray[np.integer],
    fraction: float,
    *,
    groups: NDArray[np.int64] | None = None,
    seed: int = VALIDATION_SEED,
) -> tuple[Indices, Indices]:
    """The same, with all images of a group on one side; None is a group for each image.

    Groups are taken in an order of chance, each where it brings the classes nearer to their share; a class
    that has got none then gets its smallest group. Of a class whose images are all of one group nothing is
    held out.

    Raises:
        DataError: nothing can be held out.
    """
    if groups is None:
        return stratified_split(labels, fraction, seed=seed)
    _, members = np.unique(groups, return_inverse=True)
    counts = np.zeros((members.max() + 1, int(labels.max()) + 1), dtype=np.int64)
    np.add.at(counts, (members, labels), 1)
    order = np.argsort(np.random.PCG64(seed).random_raw(len(counts)), kind="stable")
    held = _held_groups(counts, order, fraction)
    if not held.any():
        raise DataError(
            f"a split needs a class with at least 2 groups; all images of each of {counts.shape[1]} "
            "classes are of one (data.group): add images, or group them otherwise"
        )
    chosen = held[members]
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _held_groups(counts: NDArray[np.int64], order: Indices, fraction: float) -> NDArray[np.bool_]:
    """Which groups are held out; no class loses all of its images.

    Shape: counts (groups, classes) → (groups,).
    """
    sizes = np.maximum(counts.sum(axis=0), 1)
    wanted = fraction * sizes
    held = np.zeros(len(counts), dtype=bool)
    taken = np.zeros(counts.shape[1], dtype=np.int64)

    def take(group: int) -> None:
        nonlocal taken
        held[group], taken = True, taken + counts[group]

    for group in order:
        after = taken + counts[group]
        nearer = (abs(after - wanted) / sizes).sum() < (abs(taken - wanted) / sizes).sum()
        if nearer and (after < sizes)[counts[group] > 0].all():
            take(group)
    for label in np.flatnonzero(taken == 0):
        spare = [g for g in order if counts[g, label] and not held[g]]
        possible = [g for g in spare if (taken + counts[g] < sizes)[counts[g] > 0].all()]
        if possible:
            take(min(possible, key=lambda group: counts[group].sum()))
    return held


def stratified_draw(labels: NDArray[np.integer], count: int, *, seed: int) -> Indices:
    """Indices, sorted, of `count` images in the proportions of the classes, at least one of each.

    Shape: labels (N,) → (count,).

    Raises:
        DataError: there are fewer images than that, or more classes.
    """
    classes, sizes = np.unique(labels, return_counts=True)
    if count > len(labels):
        raise DataError(
            f"data.train_images is {count:,}, and there are {len(labels):,} images to draw from: "
            f"give at most {len(labels):,}"
        )
    if count < len(classes):
        raise DataError(
            f"data.train_images is {count:,}, fewer than the {len(classes):,} classes: give at least "
            f"{len(classes):,}"
        )
    keys = np.random.PCG64(seed).random_raw(len(labels))
    drawn = np.zeros(len(labels), dtype=bool)
    for label, share in zip(classes, _shares(sizes, count), strict=True):
        members = np.flatnonzero(labels == label)
        drawn[members[np.argsort(keys[members])[:share]]] = True
    return np.flatnonzero(drawn)


def _shares(sizes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """`count` as whole numbers for classes of these sizes: one each, the rest in proportion to what each
    has beyond it, and what rounding leaves to the largest fractions.
    """
    spare, left = sizes - 1, count - len(sizes)
    if left == 0:
        return np.ones_like(sizes)
    whole, fraction = np.divmod(spare * left, spare.sum())
    first = np.argsort(-fraction, kind="stable")[: left - whole.sum()]
    whole[first] += 1
    shares: NDArray[np.int64] = whole + 1
    return shares
