"""DataTable: the `[data]` table of a study file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ablate.study.base import StudyTable

Fit = Literal["crop", "pad", "squash"]
Orientation = Literal["exif", "as_stored"]


class DataTable(StudyTable):
    """Which of a dataset's images a run is trained on, and how image files are read.

    With `train_images` each seed draws so many of the training images, all variants of a seed the same
    ones. What is validated and tested is the same in every run, so that runs can be compared image by image.
    `fit` says how an image that is no square becomes one, `orientation` whether it is turned as its EXIF
    says, and `channels = 1` that its colours are dropped.

    A new key also gets a line in `DATA_PROTOCOL`, at the value that means "as before".
    """

    train_images: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    fit: Fit = "crop"
    orientation: Orientation = "exif"
    channels: Literal[1, 3] = 3


DATA_PROTOCOL: dict[str, Any] = {
    "train_images": None,
    "fit": "crop",
    # Before there was this key no image was turned: where one is, the content of the images says so.
    "orientation": "exif",
    "channels": 3,
}
"""What a run's key leaves out (`keys.py`). A value here never changes: it would change every key."""

READING_KEYS = ("fit", "orientation", "channels")
"""How image files are read. The hash of the images says it where it changes them, so that no run's key has
it beside; a study's setting has."""

ALL_DATA = DataTable()
"""What a study without a `[data]` table says."""
