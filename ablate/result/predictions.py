"""What a network said of each test image, packed: so small that every run keeps it, and plain enough for SQL.

Four bytes for each image, in the order of the test set: the class and its probability in 65,535ths, each
as an unsigned number of 16 bits with its high byte first. Labels are such numbers, two bytes each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUMBER = np.dtype(">u2")
MOST_CLASSES = 2**16
ONE = 2**16 - 1
"""What a probability of 1 is stored as; half of its inverse, 8e-6, is the rounding."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The right answers: the labels of the test images, packed, and what the classes are called."""

    packed: bytes
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Predictions:
    """Shape: predicted (N,) int64, probability (N,) float64 from 0 to 1."""

    predicted: NDArray[np.int64]
    probability: NDArray[np.float64]


def pack_predictions(predicted: NDArray[np.int64], probability: NDArray[np.float32]) -> bytes:
    """Shape: both (N,). A probability that is no number is stored as 0."""
    certain = np.nan_to_num(probability.astype(np.float64), nan=0.0).clip(0, 1)
    numbers = np.stack([predicted, np.rint(certain * ONE).astype(np.int64)], axis=1)
    return numbers.astype(NUMBER).tobytes()


def unpack_predictions(packed: bytes) -> Predictions:
    """What `pack_predictions` was given, the probabilities rounded."""
    numbers = np.frombuffer(packed, dtype=NUMBER).reshape(-1, 2)
    return Predictions(numbers[:, 0].astype(np.int64), numbers[:, 1] / ONE)


def pack_labels(labels: NDArray[np.int64], classes: tuple[str, ...]) -> Labels | None:
    """The labels (N,) of a test set; None where there are more classes than two bytes can tell apart."""
    if len(classes) > MOST_CLASSES:
        return None
    return Labels(labels.astype(NUMBER).tobytes(), classes)


def unpack_labels(packed: bytes) -> NDArray[np.int64]:
    """Shape: (N,)."""
    return np.frombuffer(packed, dtype=NUMBER).astype(np.int64)


def renumber_labels(packed: bytes, numbers: NDArray[np.int64]) -> bytes:
    """Packed labels where class i has become `numbers[i]`."""
    return numbers[unpack_labels(packed)].astype(NUMBER).tobytes()


def renumber_classes(packed: bytes, numbers: NDArray[np.int64]) -> bytes:
    """Packed predictions where class i has become `numbers[i]`; probabilities stay."""
    table = np.frombuffer(packed, NUMBER).reshape(-1, 2).copy()
    table[:, 0] = numbers[table[:, 0]]
    return table.tobytes()


def image_count(bits: bytes, accuracy: float) -> int | None:
    """Of how many images these bits are, which fill whole bytes: as many as make that accuracy of them.
    None where no number does, or where none was right, so that any would.
    """
    right = int.from_bytes(bits).bit_count()
    possible = range(max(1, 8 * len(bits) - 7), 8 * len(bits) + 1)
    found = [images for images in possible if right and right / images == accuracy]
    return found[0] if found else None
