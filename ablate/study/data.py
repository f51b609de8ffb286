"""DataTable: the `[data]` table of a study file."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ablate.study.base import StudyTable

Fit = Literal["crop", "pad", "squash"]
Orientation = Literal["exif", "as_stored"]
MOST_FOLDS = 100


class DataTable(StudyTable):
    """Which of a dataset's images a run is trained on, and how image files are read.

    With `train_images` each seed draws so many of the training images, all variants of a seed the same
    ones. What is validated and tested is the same in every run, so that runs can be compared image by image.
    `fit` says how an image that is no square becomes one, `orientation` whether it is turned as its EXIF
    says, and `channels = 1` that its colours are dropped.

    Others say how images that `--data` names are found: `test` the part to test on, `test_fraction`
    how much of each class is held out for that where there is none, `labels` the table of labels, `group`
    what no split may part (a column of that table, or a regular expression on the file's name).

    With `folds` no part is for testing: each image is tested once, by the run of its fold, which is trained
    on the others; a seed is a run of each fold.

    A new key also gets a line in `DATA_PROTOCOL`, at the value that means "as before".
    """

    train_images: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    fit: Fit = "crop"
    orientation: Orientation = "exif"
    channels: Literal[1, 3] = 3
    test: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    labels: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    group: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    folds: Annotated[int, Field(ge=2, le=MOST_FOLDS)] | None = None

    @model_validator(mode="after")
    def _tested_once(self) -> Self:
        if self.folds is None:
            return self
        if self.test_fraction != DATA_PROTOCOL["test_fraction"]:
            raise ValueError(
                f"data.folds = {self.folds} tests every image once, so data.test_fraction = "
                f"{self.test_fraction:g} has nothing to hold out: leave one of them out"
            )
        if self.test is not None:
            raise ValueError(
                f"data.folds = {self.folds} tests every image once, so data.test = {self.test!r} names "
                "nothing to test on: leave one of them out"
            )
        return self


DATA_PROTOCOL: dict[str, Any] = {
    "train_images": None,
    "fit": "crop",
    # Before there was this key no image was turned: where one is, the content of the images says so.
    "orientation": "exif",
    "channels": 3,
    "test": None,
    "test_fraction": 0.2,
    "labels": None,
    "group": None,
    "folds": None,
}
"""What a run's key leaves out (`keys.py`). A value here never changes: it would change every key."""

READING_KEYS = ("fit", "orientation", "channels")
"""How image files are read. The hash of the images says it where it changes them, so that no run's key has
it beside; a study's setting has."""

ALL_DATA = DataTable()
"""What a study without a `[data]` table says."""
