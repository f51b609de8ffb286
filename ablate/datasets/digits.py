"""`digits`: the handwritten digits that come with scikit-learn. Real, small, always there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ablate.datasets.arrays import array_hashes
from ablate.datasets.base import Dataset, Images, Watch, channel_statistics
from ablate.datasets.folds import deal_folds
from ablate.datasets.split import stratified_split
from ablate.errors import DataError, OptionError
from ablate.study import DataTable

TEST_FRACTION = 0.2
TEST_SEED = 1_797
DARKEST = 16
"""The digits have 17 grey levels, 0 to 16."""


@dataclass(frozen=True)
class Digits(Dataset):
    """1,797 digits of 8×8 pixels, enlarged to `image_size`, three equal channels; `test_fraction` of each
    class is for testing, the same images always, or with `folds` each image once.

    Source: UCI Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998), the test part.

    Raises:
        OptionError: a fraction that leaves nothing to train on, or to test.
    """

    data: Path | None
    image_size: int
    test_fraction: float = field(default=TEST_FRACTION, kw_only=True)
    folds: int | None = None

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
        tested += b"" if self.folds is None else f"folds={self.folds}".encode()
        return hashlib.sha256(pixels.tobytes() + labels.tobytes() + tested).hexdigest()

    def with_table(self, table: DataTable) -> Self:
        """Raises:
        OptionError: folds beside a part that is for testing, or what is for files.
        """
        super().with_table(table.model_copy(update={"folds": None}))
        if table.folds is not None and self.test_fraction != TEST_FRACTION:
            raise OptionError(
                f"data.folds = {table.folds} tests every image once, so {self.label} has nothing to hold "
                "out: leave one of them out"
            )
        return replace(self, folds=table.folds)

    def train_labels(self) -> NDArray[np.int64]:
        _, labels = _raw()
        return labels[self._rows()[0]].astype(np.int64)

    def test_labels(self) -> NDArray[np.int64]:
        _, labels = _raw()
        return labels[self._rows()[1]].astype(np.int64)

    def train_folds(self) -> NDArray[np.int64] | None:
        return None if self.folds is None else np.sort(self._dealt())

    def test_count(self) -> int:
        return len(self.test_labels() if self.folds is None else self.train_labels())

    def _dealt(self) -> NDArray[np.int64]:
        return deal_folds(_raw()[1], self.folds or 1, self.classes())

    def _rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which are to train on and which to test; with folds all, fold by fold, and none."""
        if self.folds is not None:
            return np.argsort(self._dealt(), kind="stable"), np.empty(0, dtype=np.int64)
        return stratified_split(_raw()[1], self.test_fraction, seed=TEST_SEED)

    def load(self, watch: Watch | None = None) -> Images:
        pixels, labels = _raw()
        images = np.stack([self._enlarged(digit) for digit in pixels])
        train, test = self._rows()
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
            train_folds=self.train_folds(),
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
