"""What a worker gets to do: the runs of a cohort and everything that training them needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ablate.datasets.base import Dataset
from ablate.job.checkpoints import CHECKPOINT_SECONDS
from ablate.job.halving import train_cohort
from ablate.result import (
    Event,
    GivenBack,
    Halved,
    Noted,
    Started,
)
from ablate.result.named import NamedFunction, NamedNetwork
from ablate.result.pretrained import Pretrained
from ablate.study import ALL_DATA, DataTable, Recipe, Variant
from ablate.system.hardware.machine import describe_process, prepare_machine


@dataclass(frozen=True)
class Run:
    """One variant of a cohort. With `keep` its result brings the trained weights, with `look` (unless set, as
    `keep` says) a snapshot for pictures, with `histograms` its epochs bring those of weights and gradients;
    `start` is the checkpoint that it goes on from. `fingerprint` is that of the network which its key names.
    """

    run_key: str
    variant: Variant
    keep: bool = False
    look: bool | None = None
    start: bytes | None = None
    histograms: bool = False
    fingerprint: str | None = None

    @property
    def looked_at(self) -> bool:
        return self.keep if self.look is None else self.look


@dataclass(frozen=True)
class Cohort:
    """A job: runs of one seed, and of one fold where there are folds, under one recipe, trained side by side.
    Everything a worker needs.

    `content_hash` is that of the images which its run keys name; a worker that has others trains nothing.
    `named` is the network of the user's that they name: a worker that builds another trains nothing either,
    and whose code turns out to be other code gives no result. `pretrained` are the weights that its networks
    begin with; a worker that finds others trains nothing. `trainer` is the user's function that trains them,
    if not we do, and `metric` the one that measures them: a worker that finds another trains nothing.

    Yields (run key, event) pairs: for each run its Epochs, Histograms and Checkpoints and then
    exactly one Finished or Failed, and `Anew` before them where its checkpoint is not continued; and for
    the whole cohort, under an empty key, `Started` before anything else, `Halved` when memory ran out,
    `Noted` when its steps could not be a graph after all, or a network could not be looked at, and
    `GivenBack` where the process must not go on, after which nothing comes.

    Raises:
        ProcessSpentError: a capture failed.
        torch.AcceleratorError: the device answers this process with nothing but errors.
    """

    runs: tuple[Run, ...]
    seed: int
    recipe: Recipe
    dataset: Dataset
    device: str
    kernels: Mapping[str, str] = field(default_factory=dict)
    step_path: str = "eager"
    deterministic: bool = False
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    content_hash: str | None = None
    named: NamedNetwork | None = None
    data: DataTable = ALL_DATA
    pretrained: Pretrained | None = None
    fold: int | None = None
    trainer: NamedFunction | None = None
    metric: NamedFunction | None = None

    def __call__(self) -> Iterator[tuple[str, Event | Started | Halved | Noted | GivenBack]]:
        machine = prepare_machine(
            self.device, self.recipe.precision, deterministic=self.deterministic
        )
        environment = describe_process(
            machine, self.kernels, step_path=self.step_path, deterministic=self.deterministic
        )
        yield "", Started(environment)
        yield from train_cohort(self, machine)
