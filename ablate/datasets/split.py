"""One fixed stratified split: the same images are held out on every machine, in every run."""

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
