"""What measuring gives: throughput, profile and trace of an architecture on a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ProfilePath = Literal["as_trained", "eager"]

NETWORK, STEP, OPTIMIZER, AUGMENTATION = "(network)", "(step)", "(optimizer)", "(augmentation)"
"""In the module column of a profile, what is no module by itself: the network around its modules, loss and
bookkeeping, the optimizer, and making a batch."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Throughput of one architecture on one device; p10 and p90 are over the rounds that count. Of mode
    `eager` are training steps, and the latency, as a loop pays them that records nothing.

    `images_per_second` is the geometric mean over processes of their rounds, the estimator that ratios have
    too. `baseline_ratio` is to the network `baseline`, measured in the same rounds of the same `processes`,
    with its 95 % interval over these; on the baseline itself it is its second measurement against the
    first. Without `processes` all rounds were in one, and the interval is over rounds.
    """

    fingerprint: str
    device: str
    precision: str
    mode: Literal["train", "infer", "eager"]
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
    processes: int | None = None


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
