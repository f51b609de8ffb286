"""`digits`: the handwritten digits that come with scikit-learn. Real, small, always there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ablate.datasets.arrays import array_hashes
from ablate.datasets.base import Dataset, Images, Watch, channel_statistics
from ablate.datasets.split import stratified_split
from ablate.errors import DataError, OptionError

TEST_FRACTION = 0.2
TEST_SEED = 1_797
DARKEST = 16
"""The digits have 17 grey levels, 0 to 16."""


@dataclass(frozen=True)
class Digits(Dataset):
    """1,797 digits of 8×8 pixels, enlarged to `image_size`, three equal channels; `test_fraction` of each
    class is for testing, the same images always.

    Source: UCI Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998), the test part.

    Raises:
        OptionError: a fraction that leaves nothing to train on, or to test.
    """

    data: Path | None
    image_size: int
    test_fraction: float = field(default=TEST_FRACTION, kw_only=True)

    def __post_init__(self) -> None:
        if not 0 < self.test_fraction < 1:
            raise OptionError(
                f"digits: test_fraction must be above 0 and below 1, not {self.test_fraction:g}"
            )

    @property
    def label(self) -> str:
        usual = self.test_fraction == TEST_FRACTION
        return "digits" if usual else f"digits(test_fraction={self.test_fraction:g})"

    def classes(self) -> tuple[str, ...]:
        return tuple(str(digit) for digit in range(10))

    def content_hash(self) -> str:
        pixels, labels = _raw()
        usual = self.test_fraction == TEST_FRACTION
        tested = b"" if usual else f"test_fraction={self.test_fraction!r}".encode()
        return hashlib.sha256(pixels.tobytes() + labels.tobytes() + tested).hexdigest()

    def train_labels(self) -> NDArray[np.int64]:
        _, labels = _raw()
        train, _ = stratified_split(labels, self.test_fraction, seed=TEST_SEED)
        return labels[train].astype(np.int64)

    def test_labels(self) -> NDArray[np.int64]:
        _, labels = _raw()
        _, test = stratified_split(labels, self.test_fraction, seed=TEST_SEED)
        return labels[test].astype(np.int64)

    def test_count(self) -> int:
        return len(self.test_labels())

    def load(self, watch: Watch | None = None) -> Images:
        pixels, labels = _raw()
        images = np.stack([self._enlarged(digit) for digit in pixels])
        train, test = stratified_split(labels, self.test_fraction, seed=TEST_SEED)
        mean, std = channel_statistics(images[train])
        found = Images(
            self.label,
            self.classes(),
            images[train],
            labels[train].astype(np.int64),
            images[test],
            labels[test].astype(np.int64),
            mean,
            std,
        )
        return replace(found, hashes=array_hashes(found.arrays))

    def _enlarged(self, digit: NDArray[np.uint8]) -> NDArray[np.uint8]:
        grey = ((digit.astype(np.int64) * 255 + DARKEST // 2) // DARKEST).astype(np.uint8)
        size = (self.image_size, self.image_size)
        enlarged = Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR)
        return np.asarray(enlarged.convert("RGB"))


@cache
def _raw() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Shape: pixels (1797, 8, 8), 0 to 16; labels (1797,). One byte each, so that hashes agree.

    scikit-learn's own `load_digits` reads the same file, but importing scikit-learn takes 2 s at
    every start of the program and of every worker.
    """
    spec = find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("the digits ship with scikit-learn, which is not installed: install it")
    path = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    try:
        table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: the digits of scikit-learn cannot be read: {error}") from None
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1]
