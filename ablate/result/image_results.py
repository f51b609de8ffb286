"""What a study's runs made of each test image: packed as it is stored, unpacked when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ablate.result.predictions import Predictions, unpack_predictions


def unpack_bits(packed: bytes, images: int) -> NDArray[np.bool_]:
    """Shape: (images,), from what `numpy.packbits` made."""
    return np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=images).astype(bool)


class Bits(Mapping[str, NDArray[np.bool_]]):
    """Which of the test images each run got right, by run key.

    Shape: (N,) bool for each run, in the order of the test set.
    """

    def __init__(self, packed: Mapping[str, bytes], images: int) -> None:
        """`packed` as `numpy.packbits` has them, all of `images` images."""
        self._packed, self.images = packed, images

    def __getitem__(self, run_key: str) -> NDArray[np.bool_]:
        return unpack_bits(self._packed[run_key], self.images)

    def packed(self, run_key: str) -> bytes:
        """Those of a run as they are stored."""
        return self._packed[run_key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


class Said(Mapping[str, Predictions]):
    """What each run said of the test images, by run key."""

    def __init__(self, packed: Mapping[str, bytes]) -> None:
        self._packed = packed

    @property
    def packed(self) -> Mapping[str, bytes]:
        """As they are stored."""
        return self._packed

    def __getitem__(self, run_key: str) -> Predictions:
        return unpack_predictions(self._packed[run_key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


@dataclass(frozen=True)
class ImageResults:
    """The test images of a study and what became of them. Runs without bits, or with those of another
    number of images, are in none of the mappings; `notes` says so, a line for each reason.

    Shape: labels (N,) int64, which index `classes`; None where they are not stored. `pictures` are PNGs by
    the number of their image.
    """

    correct: Bits = field(default_factory=lambda: Bits({}, 0))
    said: Said = field(default_factory=lambda: Said({}))
    labels: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    pictures: Mapping[int, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        """How many there are."""
        return self.correct.images
