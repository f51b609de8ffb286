"""What a source of images promises. No torch here: arrays only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ablate.datasets.arrays import array_hashes, let_go
from ablate.datasets.repeats import Scanned
from ablate.errors import DataChangedError, DataError, OptionError
from ablate.pixels.geometry import USUAL, Reading
from ablate.study import DataTable
from ablate.study.data import DATA_PROTOCOL

Triple = tuple[float, float, float]
Watch = Callable[[int, int], None]

IMAGENET: tuple[Triple, Triple] = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation per channel, as shares of 1, that torchvision's trained networks expect."""


@dataclass(frozen=True)
class Fold:
    """The places of the images that one fold tests, among all, and of those that are left (N - M,)."""

    tested: slice
    rest: NDArray[np.int64]


def fold_of_all(folds: NDArray[np.int64] | None, fold: int) -> Fold:
    """One of the folds of images that lie fold by fold.

    Raises:
        DataError: there is no such fold.
    """
    places = np.array([], dtype=np.int64) if folds is None else np.flatnonzero(folds == fold)
    if folds is None or not len(places):
        raise DataError(f"there is no fold {fold}: these images are not dealt so (data.folds)")
    return Fold(slice(int(places[0]), int(places[-1]) + 1), np.flatnonzero(folds != fold))


@dataclass(frozen=True)
class Images:
    """A dataset in memory (or memory-mapped), as it is before augmentation.

    Shape: images (N, H, W, 3) uint8, labels (N,) int64 that index `classes`. `mean` and `std` are
    per channel on the scale 0 to 1. `hashes` are those of the arrays when they were read, by their names;
    empty where nobody will ask for them again. `val_images` are there where the dataset has validation
    images of its own, `train_groups` (N,) where training images come in groups that no split may part. With
    `train_folds` (N,) there are no test images: each training image is tested once, in the fold of that
    number, whose run is trained on the others; they lie fold by fold.
    `shaped_by_alpha` counts those whose transparency, which was dropped, had a shape too. `first_test` is the
    number of the first test image among all that are tested.
    """

    label: str
    classes: tuple[str, ...]
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    mean: Triple
    std: Triple
    hashes: Mapping[str, str] = field(default_factory=dict)
    val_images: NDArray[np.uint8] | None = None
    val_labels: NDArray[np.int64] | None = None
    train_groups: NDArray[np.int64] | None = None
    train_folds: NDArray[np.int64] | None = None
    shaped_by_alpha: int = 0
    first_test: int = 0

    def normalised_by(self, whose: str) -> Images:
        """The same images, to be normalised by their own statistics or by ImageNet's."""
        return replace(self, mean=IMAGENET[0], std=IMAGENET[1]) if whose == "imagenet" else self

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Its arrays by their names, as the cache has them."""
        names = ("train_images", "train_labels", "test_images", "test_labels")
        more = ("val_images", "val_labels", "train_groups", "train_folds")
        return {
            name: getattr(self, name) for name in (*names, *more) if getattr(self, name) is not None
        }

    def fold(self, fold: int) -> Fold:
        """What a fold tests, and what is left to train and validate on.

        Raises:
            DataError: there is no such fold.
        """
        return fold_of_all(self.train_folds, fold)

    @property
    def tested_images(self) -> NDArray[np.uint8]:
        """All images that runs are tested on, in the order in which results number them."""
        return self.test_images if self.train_folds is None else self.train_images

    @property
    def tested_labels(self) -> NDArray[np.int64]:
        """Their labels."""
        return self.test_labels if self.train_folds is None else self.train_labels

    def in_fold(self, fold: int | None) -> Images:
        """With the test images of a fold, and the mean and deviation of what it is trained on; the training
        images stay those of all folds. Without a fold they are as they are.
        """
        if fold is None:
            return self
        rows = self.fold(fold)
        mean, std = self.statistics(rows)
        tested = self.train_images[rows.tested], self.train_labels[rows.tested]
        found = replace(self, test_images=tested[0], test_labels=tested[1], mean=mean, std=std)
        return replace(found, first_test=rows.tested.start)

    def statistics(self, fold: Fold) -> tuple[Triple, Triple]:
        """Mean and deviation of each channel over the images that a fold does not test."""
        tested = fold.tested
        return channel_statistics(
            self.train_images[: tested.start], self.train_images[tested.stop :]
        )

    def check(self) -> None:
        """Hash the arrays again: a file that is mapped can change while a network is trained on it.

        Raises:
            DataChangedError: they are not what was read.
        """
        now = array_hashes({name: self.arrays[name] for name in self.hashes})
        changed = [name for name, value in self.hashes.items() if now[name] != value]
        if changed:
            raise DataChangedError(
                f"{self.label}: {' and '.join(changed)} changed in the cache while a network was trained on "
                "them; nothing of it is stored as a result: run again with --retry-failed"
            )


class Dataset(ABC):
    """A source of images that was found but not read yet; small and picklable.

    A subclass has the constructor `(data, image_size, *, option=default, …)`: `data` is what the user
    named with `--data`, None without it, and the keyword arguments are the options that stand in
    brackets behind its name in a study file.
    """

    image_size: int
    """The side in pixels of the square images that `load` returns."""

    reading: Reading = USUAL
    """How image files become arrays; of use where there are any."""

    needs_data: ClassVar[bool] = False
    """Whether there are no images of this dataset without `--data`."""

    @classmethod
    def reads(cls, data: Path) -> bool:
        """Whether `--data` names this dataset's own files, and not images that take its place."""
        return False

    @property
    @abstractmethod
    def label(self) -> str:
        """What `v_runs.dataset` says."""

    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the labels."""

    @abstractmethod
    def content_hash(self) -> str | None:
        """A hash of the content, equal wherever the same images lie; None if not known yet."""

    def train_labels(self) -> NDArray[np.int64] | None:
        """The labels of the training images, where they are known without reading images; else None."""
        return None

    def val_labels(self) -> NDArray[np.int64] | None:
        """The labels of the images to validate on, where it has such of its own."""
        return None

    def test_labels(self) -> NDArray[np.int64] | None:
        """The labels of the test images, where they are known without reading images; else None."""
        return None

    def train_groups(self) -> NDArray[np.int64] | None:
        """The group of each training image, as a number; None where images come in no groups."""
        return None

    def train_folds(self) -> NDArray[np.int64] | None:
        """The fold in which each training image is tested, fold by fold; None where a part is for testing."""
        return None

    def has_validation(self) -> bool:
        """Whether it has images to validate on, so that none of the training images are held out."""
        return False

    def notes(self) -> tuple[str, ...]:
        """What a reader should know of which images are used for what, where there was a choice."""
        return ()

    def with_table(self, table: DataTable) -> Self:
        """This dataset as the `[data]` table of a study wants its images to be found and read.

        Raises:
            OptionError: it says something of the layout or of files, and this dataset has none of that.
        """
        for key in ("test", "test_fraction", "labels", "group", "folds"):
            if (given := getattr(table, key)) != DATA_PROTOCOL[key]:
                raise OptionError(
                    f"data.{key} = {given!r} is for images that --data names, and {self.label} has a layout "
                    "of its own; leave it out"
                )
        for key, value in Reading.of(table).unusual.items():
            raise OptionError(
                f"data.{key} = {value!r} says how image files are read, and {self.label} has none: leave it "
                "out, or give your own with --data PATH"
            )
        return self

    def test_count(self) -> int | None:
        """The number of test images, of all folds together, where it is known without reading images."""
        return None

    def class_sizes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """How many images of each class are not tested, and how many are, where that is known without reading
        images; else None.
        """
        train, test = self.train_labels(), self.test_labels()
        if train is None or test is None:
            return None
        count = len(self.classes())
        return np.bincount(train, minlength=count), np.bincount(test, minlength=count)

    def image_count(self) -> int | None:
        """How many images it has in all its parts, where that is known without reading images; else None."""
        sizes = self.class_sizes()
        if sizes is None:
            return None
        own = self.val_labels()
        return int(sizes[0].sum() + sizes[1].sum()) + (0 if own is None else len(own))

    def cache_entry(self) -> str | None:
        """The name under which its arrays are kept in the cache; None where each process makes its own."""
        return None

    def scanned(self) -> Scanned | None:
        """What a look at its files has told; None where it has none that were looked at."""
        return None

    @abstractmethod
    def load(self, watch: Watch | None = None) -> Images:
        """Read the images, with the hashes of the arrays. What takes seconds tells `watch` (how much is
        done, of how much).

        Raises:
            DataError: something is missing, broken or beyond the caps; says what to put where.
        """

    def pinned(self) -> Self:
        """This dataset with its content as it is now: whoever gets it reads these images or none, and it
        equals no other content. A dataset whose content cannot change is so by nature.

        Raises:
            DataError: as `load`.
        """
        return self


@lru_cache(maxsize=1)
def read_images(dataset: Dataset) -> Images:
    """The images of a dataset; a process keeps those that it read last, and so what they were then."""
    return dataset.load()


def channel_statistics(*parts: NDArray[np.uint8], chunk: int = 256) -> tuple[Triple, Triple]:
    """Mean and standard deviation of each channel over all pixels, on the scale 0 to 1.

    Shape: each of the parts (N, H, W, 3), read `chunk` images at a time.
    """
    counts = np.zeros(3 * 256, dtype=np.int64)
    for images in parts:
        for start in range(0, len(images), chunk):
            piece = np.ascontiguousarray(images[start : start + chunk])
            # Pillow counts bytes as they are, where NumPy makes integers of them first: 10 times as fast.
            rows = (piece.shape[2], piece.shape[0] * piece.shape[1])
            counts += Image.frombuffer("RGB", rows, piece, "raw", "RGB", 0, 1).histogram()
            let_go(images)
    return statistics_of(counts)


def statistics_of(counts: Sequence[int] | NDArray[np.int64]) -> tuple[Triple, Triple]:
    """The same of how often each value of red, of green and of blue occurs: integers, so that it does not
    depend on the order of images.

    A channel that is the same everywhere gets the deviation 1: images are divided by it.

    Shape: counts (3 * 256,).
    """
    each = np.asarray(counts, dtype=np.int64).reshape(3, 256)
    scale = np.arange(256) / 255
    pixels = each.sum(axis=1)
    mean = each @ scale / pixels
    variance = (each * (scale - mean[:, None]) ** 2).sum(axis=1) / pixels
    return _triple(mean), _triple(np.sqrt(np.where(variance > 0, variance, 1)))


def _triple(values: NDArray[np.float64]) -> Triple:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
