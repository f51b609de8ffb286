"""What training and measuring give back: plain values, no torch, cheap to send between processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FailureKind = Literal["oom", "diverged", "error", "worker_died", "timeout"]
ProfilePath = Literal["as_trained", "eager"]


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
    """How weights and gradients were spread at one step of an epoch (`ablate.histograms`). `step`
    counts over the whole run from 1.
    """

    epoch: int
    step: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a trained network: its weights (safetensors), and its snapshot for the report
    (`ablate.explain.snapshot`).
    """

    weights: bytes
    snapshot: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """The accepted result of a run, measured with the weights of the last epoch.

    `test_correct` has one bit for each test image (packed as `numpy.packbits`): which images this
    run got right, so that an interval over images is possible later. `kept` is there for the runs
    whose weights are kept.
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


@dataclass(frozen=True, slots=True)
class Failed:
    """A run that ended without a result; `error` is for people, `kind` for queries."""

    kind: FailureKind
    error: str
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class Layer:
    """One parameter tensor of a network: `path` is the module's, `attention` whether we inserted it."""

    path: str
    kind: str
    parameter: str
    count: int
    attention: bool


@dataclass(frozen=True, slots=True)
class Architecture:
    """A built network, by structure: everything about a variant that needs no training.

    `macs` counts one multiply-add as 1, for one image, convolutions and matrix products only;
    `uncounted` names operators that no rule knows, so that a missing rule never looks like 0.
    `elementwise` counts the values that all other arithmetic handles, `activations` those that
    convolutions and matrix products give.
    """

    fingerprint: str
    backbone: str
    parameters: int
    attention_parameters: int
    macs: int
    uncounted: tuple[str, ...]
    layers: tuple[Layer, ...]
    elementwise: int = 0
    activations: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """Throughput of one architecture on one device; p10 and p90 are over the rounds that count.

    `baseline_ratio` is to the network `baseline`, measured in the same rounds, with its 95 % interval;
    on the baseline itself it is its second measurement against the first.
    """

    fingerprint: str
    device: str
    precision: str
    mode: Literal["train", "infer"]
    batch_size: int
    images_per_second: float
    p10: float
    p90: float
    latency_ms: float | None
    peak_memory_mib: float | None
    rounds: int
    protocol: Literal["quick", "full"]
    rounds_dropped: int = 0
    baseline: str | None = None
    baseline_ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    copy_gib_per_second: float | None = None
    clock_mhz: float | None = None


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """One operator of a profiled training step; times in microseconds for one step.

    `memory_kib` is what it allocated, whatever was freed again.
    """

    fingerprint: str
    device: str
    path: ProfilePath
    module: str | None
    operator: str
    self_device_us: float
    self_cpu_us: float
    calls: float
    share: float
    memory_kib: float | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """The file of a profile's trace. What is missing, the file or the whole profile, has a reason."""

    fingerprint: str
    device: str
    path: ProfilePath
    file: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Profiled:
    """A network was profiled on one path; without rows if the profile failed."""

    trace: Trace
    rows: tuple[ProfileRow, ...]


@dataclass(frozen=True, slots=True)
class Halved:
    """A cohort did not fit into memory and goes on in halves of at most that many runs."""

    size: int


@dataclass(frozen=True, slots=True)
class Noted:
    """Something about a whole cohort that whoever watches should know."""

    text: str


Event = Epoch | Checkpoint | Histograms | Finished | Failed
"""What a run reports."""
