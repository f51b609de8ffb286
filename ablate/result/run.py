"""What a run reports while it is trained, and how it ends: plain values, cheap to send between processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ablate.result.metrics import Score

if TYPE_CHECKING:  # which loads NumPy: `ablate status` is quicker without
    from ablate.result.predictions import Labels

FailureKind = Literal[
    "oom",
    "diverged",
    "error",
    "worker_died",
    "timeout",
    "data_changed",
    "network_changed",
    "code_changed",
]


@dataclass(frozen=True, slots=True)
class Step:
    """One training step that was logged.

    `batch_accuracy` is the accuracy of the epoch so far, as the tutorials plot it.
    """

    step: int
    batch_loss: float
    batch_accuracy: float
    learning_rate: float


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch of one run measured; accuracies are fractions, `epoch` counts from 1.

    The test columns are None unless the study asks for the tutorial's split, which looks at the
    test set after every epoch; the validation columns are None when it does.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    learning_rate: float
    seconds: float
    images_per_second: float
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a run after an epoch (`ablate.train.checkpoint`), from which it can go on."""

    epoch: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Histograms:
    """How weights and gradients were spread at one step of an epoch (`ablate.result.histograms`). `step`
    counts over the whole run from 1.
    """

    epoch: int
    step: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a trained network: its weights (safetensors), None where they are not wanted, and its
    snapshot for the report (`ablate.result.snapshot`), None of a network that could not be looked at.
    """

    weights: bytes | None
    snapshot: bytes | None


@dataclass(frozen=True, slots=True)
class PartTested:
    """Which of the test images a run of one fold was tested on: so many from the first one on, of `all`."""

    first: int
    images: int
    all: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The accepted result of a run, measured with the weights of the last epoch.

    `test_correct` has one bit for each test image (packed as `numpy.packbits`): which images this
    run got right, so that an interval over images is possible later. `kept` is there for the runs
    whose weights are kept. `unmoved_attention` names the attention modules that ended as they were
    initialised, separated by commas; None where nobody looked. `test_predictions` is what it said of
    each image, `labels` what is right (`ablate.result.predictions`); None of more than 65,536 classes. With
    `tested` bits and predictions are those of a part of the test images, and labels those of all.
    `scores` are all metrics of the validation and the test images (`ablate.study.metrics`).
    """

    val_accuracy: float | None
    test_accuracy: float
    test_loss: float
    test_correct: bytes
    seconds: float
    train_images_per_second: float
    device: str
    precision: str
    kept: Kept | None = None
    unmoved_attention: str | None = None
    test_predictions: bytes | None = None
    labels: Labels | None = None
    scores: tuple[Score, ...] = ()
    tested: PartTested | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A run that ended without a result; `error` is for people, `kind` for queries."""

    kind: FailureKind
    error: str
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """A job has begun: the environment of the process that works on it, wherever that is."""

    environment: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Halved:
    """A cohort did not fit into memory and goes on in halves of at most that many runs."""

    size: int


@dataclass(frozen=True, slots=True)
class Noted:
    """Something about a whole cohort that whoever watches should know. `step_path` is how its steps are
    taken from now on, where that has changed.
    """

    text: str
    step_path: str | None = None


@dataclass(frozen=True, slots=True)
class GivenBack:
    """A cohort ends here, because its process is spent: whoever has no result yet goes on from its last
    checkpoint in another one. With `step_path` its networks are stepped in that way from now on.
    """

    reason: str
    step_path: str | None = None


@dataclass(frozen=True, slots=True)
class Anew:
    """A run does not go on from its checkpoint, it begins from nothing; `reason` is for people."""

    reason: str


Event = Epoch | Checkpoint | Histograms | Finished | Failed | Anew
"""What a run reports."""
