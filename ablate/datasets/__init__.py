"""The shelf of datasets. To add one: a file beside this one, and a line in `DATASETS`."""

from __future__ import annotations

from pathlib import Path

from ablate.datasets.archive import label_of
from ablate.datasets.base import Dataset, Images
from ablate.datasets.cifar import Cifar10
from ablate.datasets.digits import Digits
from ablate.datasets.images import ImageFiles
from ablate.errors import DataError, unknown
from ablate.study import ALL_DATA, DataTable, Option, Study
from ablate.study.options import complete_options, split_call

DATASETS: dict[str, type[Dataset]] = {
    "digits": Digits,
    "cifar10": Cifar10,
    "images": ImageFiles,
}

__all__ = ["DATASETS", "Dataset", "Images", "data_of", "find_dataset", "label_of", "open_dataset"]


def open_dataset(
    text: str, data: Path | None, image_size: int, table: DataTable = ALL_DATA
) -> Dataset:
    """The dataset that a study names, `digits` or `digits(option=value)`, or the images at `data` in its
    place, found and read as its `[data]` table says; reads nothing yet.

    Raises:
        UnknownNameError: no such dataset.
        OptionError: an option that it does not have, or a key of `[data]` that it cannot follow.
        DataError: no `data` for a dataset that needs it, or an `image_size` that it does not have.
    """
    source, given = find_dataset(text)
    if data is None and source.needs_data:
        raise DataError(f"dataset {text!r} needs a folder or an archive; give --data PATH")
    if data is not None and not source.reads(data):
        source, given = ImageFiles, {}  # the options were those of the dataset that is replaced
    found = source(data, image_size, **complete_options(text, source, given))  # type: ignore[call-arg]
    return found.with_table(table)


def data_of(study: Study, data: Path | None) -> Path | None:
    """The images that are given, for a study that takes them: of contexts that are data sets, those that need
    some.
    """
    has_own = "dataset" in dict(study.context) and not find_dataset(study.dataset)[0].needs_data
    return None if has_own else data


def find_dataset(text: str) -> tuple[type[Dataset], dict[str, Option]]:
    """The class of a dataset, and the options that are given in brackets.

    Raises:
        UnknownNameError: no such dataset.
        OptionError: what stands in the brackets is no list of KEY=VALUE.
    """
    name, given = split_call(text)
    if name not in DATASETS:
        raise unknown("dataset", name, DATASETS)
    return DATASETS[name], given
