"""The shelf of datasets. To add one: a file beside this one, and a line in `DATASETS`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ablate.datasets.archive import label_of
from ablate.datasets.base import Dataset, Images
from ablate.datasets.cifar import ARCHIVE, BATCHES, Cifar10
from ablate.datasets.digits import Digits
from ablate.datasets.images import ImageFiles
from ablate.errors import DataError, unknown

DATASETS: dict[str, Callable[[Path | None, int], Dataset]] = {
    "digits": Digits,
    "cifar10": Cifar10,
    "images": ImageFiles,
}

__all__ = ["DATASETS", "Dataset", "Images", "label_of", "open_dataset"]


def open_dataset(name: str, data: Path | None, image_size: int) -> Dataset:
    """The source with that name, or the images at `data` in its place; reads nothing yet.

    `data` replaces the study's dataset by `images`, but for `cifar10` where the original lies.

    Raises:
        UnknownNameError: no such dataset.
        DataError: `images` without `data`, or an `image_size` that the dataset does not have.
    """
    if name not in DATASETS:
        raise unknown("dataset", name, DATASETS)
    if data is None:
        if name == "images":
            raise DataError("dataset 'images' needs a folder or an archive; give --data PATH")
        return DATASETS[name](None, image_size)
    if name == "cifar10" and (folder := _original(data)) is not None:
        return Cifar10(folder, image_size)
    return ImageFiles(data, image_size)


def _original(data: Path) -> Path | None:
    """The folder that has the original CIFAR-10, if `data` is that or leads into it."""
    if data.name in (ARCHIVE, BATCHES):
        return data.parent
    return data if (data / ARCHIVE).is_file() or (data / BATCHES).is_dir() else None
