"""How many runs a GPU trains side by side: as many as make a run's share of a step smallest, and fit.

Cohorts of growing size are stepped through a few batches, on the path that the device takes. To be run
once for a device and a study's setting, and stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np
import torch

from ablate.datasets.base import Dataset
from ablate.study import Recipe, Variant
from ablate.system.hardware.device_errors import (
    CaptureError,
    ProcessSpentError,
    breaks_process,
    out_of_memory,
)
from ablate.system.hardware.machine import Machine, prepare_machine
from ablate.train.cohort import step_eagerly
from ablate.train.data import Data, load_data
from ablate.train.graphs import kernels_on, make_graphs
from ablate.tune.stepped import (
    TIMED_BATCHES,
    SteppedCohort,
    first_batches,
    free_memory,
    make_members,
)

MOST = 32
ROUNDS = 3
WORTH_MORE = 1.03
"""How many times as fast a run of a larger cohort must be: it holds more memory, and loses more."""
MOST_MEMORY = 0.8
"""The share of a device's memory that a cohort may be expected to take."""


@dataclass(frozen=True, slots=True)
class CohortSize:
    """What a run's share of a pass over the batches takes in a cohort of this size."""

    size: int
    seconds_a_run: float


@dataclass(frozen=True)
class MeasureCohorts:
    """A job: step cohorts of 1, 2, 4 … of these networks. Yields a `CohortSize` for each that fits, as one of
    the `shared_by` that are on the device at the same time.
    """

    variants: tuple[Variant, ...]
    recipe: Recipe
    dataset: Dataset
    device: str
    kernels: Mapping[str, str]
    step_path: str
    deterministic: bool = False
    shared_by: int = 1

    def __call__(self) -> Iterator[CohortSize]:
        recipe = self.recipe
        machine = prepare_machine(self.device, recipe.precision, deterministic=self.deterministic)
        device = machine.device
        data = load_data(self.dataset, recipe, device)
        few = first_batches(data, recipe, TIMED_BATCHES)
        for size in sizes(len(self.variants)):
            _forget_memory(device)
            try:
                seconds = self._seconds(size, few, machine)
            except CaptureError as error:
                # Whatever ended it: cohorts of this size cannot be recorded, and this process is spent.
                raise ProcessSpentError from error
            except Exception as error:
                if breaks_process(error) or out_of_memory(error) is None:
                    raise
                seconds = None
            if seconds is None:  # too large to fit, or no graph
                break
            taken = self.shared_by * _memory_taken(device)
            if taken > MOST_MEMORY and size > 1:
                break  # it fits alone, but not beside the others
            yield CohortSize(size, seconds / size)
            if 2 * taken > MOST_MEMORY:
                break
        free_memory(device)  # training goes on in this process

    def _seconds(self, size: int, data: Data, machine: Machine) -> float | None:
        """What a pass over the data takes, None where it was stepped in another way than was asked for;
        nothing of the cohort is left afterwards.
        """
        device, precision = machine.device, machine.precision
        kernels = kernels_on(self.step_path, self.kernels)
        variants = tuple(islice(cycle(self.variants), size))
        members = make_members(variants, self.recipe, self.dataset, device, precision, kernels)
        graphs = None if self.step_path == "eager" else make_graphs(self.step_path)
        stepped = SteppedCohort(members, data, self.recipe, graphs or step_eagerly)
        taken = float(np.median([stepped.seconds(data) for _ in range(ROUNDS)]))
        return None if graphs is not None and graphs.trouble is not None else taken


def sizes(networks: int) -> list[int]:
    """1, 2, 4 … and all of them."""
    most = min(networks, MOST)
    doubled = [2**power for power in range(most.bit_length()) if 2**power < most]
    return [*doubled, most]


def best_size(measured: Sequence[CohortSize]) -> int:
    """The smallest one that a larger one does not beat clearly."""
    best = measured[0]
    for each in measured[1:]:
        if best.seconds_a_run / each.seconds_a_run >= WORTH_MORE:
            best = each
    return best.size


def _forget_memory(device: torch.device) -> None:
    free_memory(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _memory_taken(device: torch.device) -> float:
    """The largest share of the device's memory that was held since it was forgotten."""
    if device.type != "cuda":
        return 0.0
    whole = torch.cuda.get_device_properties(device).total_memory
    return torch.cuda.max_memory_reserved(device) / whole
