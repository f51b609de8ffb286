"""What a file of results says, once all of it is right."""

from __future__ import annotations

from dataclasses import dataclass

from ablate.result.metrics import Score


@dataclass(frozen=True, slots=True)
class GivenRun:
    """A run of a file; `row` is where it stands there. None is what the file does not say.

    `failure` is why it has no result, None of a finished one. `correct` and `predictions` are packed as
    those of runs that are trained here (`ablate.result.predictions`), in the order of the file's images.
    """

    variant: str
    seed: int
    row: int
    test_accuracy: float | None = None
    val_accuracy: float | None = None
    failure: str | None = None
    epochs: int | None = None
    seconds: float | None = None
    parameters: int | None = None
    macs: int | None = None
    scores: tuple[Score, ...] = ()
    correct: bytes | None = None
    predictions: bytes | None = None

    @property
    def name(self) -> str:
        """What it is called in errors."""
        return f"variant {self.variant}, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class GivenImages:
    """The test images of a file with a row for each image: `labels` are packed and index `classes`, `names`
    is a hash of what the images are called, in their order.
    """

    count: int
    labels: bytes
    classes: tuple[str, ...]
    names: str


@dataclass(frozen=True, slots=True)
class GivenResults:
    """All that a file says, its `notes` what of it is not used."""

    runs: tuple[GivenRun, ...]
    rows: int
    images: GivenImages | None = None
    notes: tuple[str, ...] = ()
