"""Recipe: the `[recipe]` table of a study file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ablate.study.base import StudyTable

Split = Literal["validation", "tutorial"]


class Recipe(StudyTable):
    """Everything about training that can change the number.

    `precision = "amp"` is bf16 where the hardware has it, else fp16 with a scaler on a GPU, else fp32.
    `split = "tutorial"` trains on all training images and lets the schedule see the test set.

    A new key also gets a line in `PROTOCOL_DEFAULTS`, at the value that means "as before".
    """

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 50
    batch_size: Annotated[int, Field(ge=2, le=1_000_000)] = 64
    optimizer: str = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    schedule: str = "plateau"
    augment: tuple[str, ...] = ("crop", "flip", "color", "rotate")
    precision: Literal["amp", "fp32"] = "amp"
    split: Split = "validation"
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1


PROTOCOL_DEFAULTS: dict[str, Any] = {
    "epochs": 50,
    "batch_size": 64,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "schedule": "plateau",
    "augment": ["crop", "flip", "color", "rotate"],
    "precision": "amp",
    "split": "validation",
    "validation_fraction": 0.1,
}
"""What a run's key leaves out (`keys.py`). A value here never changes: it would change every key."""
