"""DataTable: the `[data]` table of a study file."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from ablate.study.base import StudyTable


class DataTable(StudyTable):
    """Which of a dataset's images a run is trained on.

    With `train_images` each seed draws so many of the training images, all variants of a seed the same
    ones. What is validated and tested is the same in every run, so that runs can be compared image by image.

    A new key also gets a line in `DATA_PROTOCOL`, at the value that means "as before".
    """

    train_images: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None


DATA_PROTOCOL: dict[str, Any] = {"train_images": None}
"""What a run's key leaves out (`keys.py`). A value here never changes: it would change every key."""

ALL_DATA = DataTable()
"""What a study without a `[data]` table says."""
