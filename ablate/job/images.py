"""The images of a cohort, once they are known to be those that its run keys name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ablate.datasets.base import read_images
from ablate.errors import DataChangedError
from ablate.result import (
    PartTested,
)
from ablate.system.hardware.machine import Machine
from ablate.train.data import Data, draw, forget_data, load_data

if TYPE_CHECKING:
    from ablate.job.cohort import Cohort


def load_images(cohort: Cohort, machine: Machine) -> Data:
    """The images that a cohort is trained and tested on, once they are known to be those of its run keys.

    Raises:
        DataChangedError: they are not, or the source has others by now.
        DataError: they are nowhere any more.
    """
    recipe, found = cohort.recipe, cohort.dataset.content_hash()
    if cohort.content_hash not in (None, found):
        raise DataChangedError(
            f"{cohort.dataset.label}: has other images here than where the run was planned (content "
            f"{str(found)[:8]}, not {str(cohort.content_hash)[:8]}): bring them to the same state"
        )
    whole = load_data(cohort.dataset, recipe, machine.device, cohort.fold)
    return draw(whole, cohort.data, cohort.seed)


def tested_images(cohort: Cohort) -> tuple[PartTested | None, NDArray[np.int64]]:
    """Which of all images that are tested this cohort's fold tests, and the labels of all (N,)."""
    images = read_images(cohort.dataset)
    labels = images.tested_labels
    if cohort.fold is None:
        return None, labels
    rows = images.fold(cohort.fold).tested
    return PartTested(rows.start, rows.stop - rows.start, len(labels)), labels


def forget_images() -> None:
    """Keep no images for the next cohort."""
    forget_data()
    read_images.cache_clear()
