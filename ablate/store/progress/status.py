"""How far a study has come, as values: what is counted, who is at work, and how long it will take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ablate.result import RunStatus
from ablate.result.status import MISSING
from ablate.system.process.owner import Owner

StudyKey = tuple[str, str, str]
"""Study, the hash of its images, and setting: what there is one status for. A name of images is no key."""
Process = tuple[str, int]
"""Host and process number."""


@dataclass(frozen=True)
class RunningRun:
    """A run that is marked as being trained.

    `device` is None until its process has finished another run; `gone` says that its process was on
    this machine and has ended.
    """

    variant: str
    seed: int
    run_key: str
    owner: Owner
    gone: bool
    device: str | None
    epoch: int
    started_at: str
    fold: int | None = None

    @property
    def process(self) -> Process:
        return self.owner.host, self.owner.pid


@dataclass(frozen=True)
class Worker:
    """A process by what it has finished: on which device, and how many runs it trains side by side."""

    device: str
    side_by_side: float


@dataclass(frozen=True)
class EpochSpeed:
    """What an epoch of a run takes on a device, on average over the runs that finished there.

    Of what several runs in one process do together each has its share.
    """

    finished: int
    seconds_per_epoch: float


@dataclass(frozen=True)
class StudyStatus:
    """How far a study has come on one dataset under one setting.

    `work_seconds` is what the missing epochs take one after the other, `eta_seconds` how long that
    lasts with the processes at work; both are None until something was measured, and the second also
    while nobody is at work. `pruned` of those that are stopped were stopped by a search, for good,
    and `open_trials` of its searches are under way, or were when they ended. `context` is which of its
    study's it is, where that has several. Of a study from `elsewhere` nobody knows the epochs.
    """

    study: str
    dataset: str
    setting: str
    epochs: int
    counts: Mapping[str, int]
    failures: Mapping[str, int]
    running: Sequence[RunningRun]
    speeds: Mapping[str, EpochSpeed]
    work_seconds: float | None
    eta_seconds: float | None
    dataset_hash: str = ""
    pruned: int = 0
    open_trials: int = 0
    context: Mapping[str, Any] = field(default_factory=dict)
    elsewhere: bool = False

    @property
    def missing(self) -> int:
        """How many runs are to be trained: those that are not over, and that no search has pruned."""
        return sum(self.counts.get(word, 0) for word in MISSING) - self.pruned


@dataclass
class Counted:
    """What was counted of a study. `epochs_done` and `epoch_seconds` are of runs that are not over."""

    place: StudyKey
    epochs: int
    dataset: str = ""
    grid: frozenset[str] = frozenset()
    pruned: int = 0
    open_trials: int = 0
    context: Mapping[str, Any] = field(default_factory=dict)
    elsewhere: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    finished: Counter[str] = field(default_factory=Counter)
    running: list[RunningRun] = field(default_factory=list)
    epochs_done: int = 0
    epoch_seconds: float | None = None

    def add(
        self,
        status: str,
        failure: str | None,
        device: str | None,
        count: int,
        seconds: float | None,
    ) -> None:
        """Count runs that are alike."""
        self.counts[status] += count
        if status == RunStatus.FAILED:
            self.failures[failure or "error"] += count
        if status == RunStatus.FINISHED and device is not None:
            self.finished[device] += count
            self.seconds[device] = self.seconds.get(device, 0.0) + (seconds or 0.0)

    def conclude(self, workers: Mapping[Process, Worker]) -> StudyStatus:
        """What that comes to, with the processes that are at work."""
        speeds = {
            device: EpochSpeed(count, self.seconds[device] / count / self.epochs)
            for device, count in self.finished.items()
        }
        missing = sum(self.counts[word] for word in MISSING) - self.pruned
        left = missing * self.epochs - self.epochs_done
        work = eta = None if left else 0.0
        if left and (usual := self._usual(speeds)) is not None:
            work = left * usual
            rate = _rate(self.running, workers, speeds, usual)
            eta = left / rate if rate else None
        study, content, setting = self.place
        return StudyStatus(
            study, self.dataset, setting, self.epochs, self.counts, self.failures, self.running, speeds,
            work, eta, content, self.pruned, self.open_trials, self.context,
            self.elsewhere,
        )  # fmt: skip

    def _usual(self, speeds: Mapping[str, EpochSpeed]) -> float | None:
        """Seconds for an epoch; from runs that are not over where none has finished yet."""
        runs = sum(self.finished.values())
        if not runs:
            return self.epoch_seconds
        return sum(speed.finished * speed.seconds_per_epoch for speed in speeds.values()) / runs


def _rate(
    running: Iterable[RunningRun],
    workers: Mapping[Process, Worker],
    speeds: Mapping[str, EpochSpeed],
    usual: float,
) -> float:
    """Epochs in a second, over all processes that are alive; a new one counts as one run at a time."""
    rate = 0.0
    alive = Counter(run.process for run in running if not run.gone)
    for process, runs in alive.items():
        worker = workers.get(process)
        side_by_side = 1.0 if worker is None else max(1.0, min(worker.side_by_side, runs))
        speed = speeds.get(worker.device) if worker else None
        rate += side_by_side / (speed.seconds_per_epoch if speed else usual)
    return rate
