"""Our engine as the harness runs a grid: a process for each core, each training a cohort of runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Never

from ablate.attention import use_kernels
from ablate.execute import Died, Done, Executor, Job
from ablate.execute.local import LocalExecutor
from ablate.system.hardware.machine import prepare_machine
from ablate.train.cohort import Member, Stepping, step_eagerly, train_epoch
from ablate.train.data import Data, to_device
from ablate.train.graphs import Graphs, kernels_on, make_graphs
from ablate.train.step import make_trainer
from ablate.tune.kernels import MeasureKernels
from benchmarks.field import RECIPE, SEED, Entry, Field
from benchmarks.race import BenchmarkError, Turn

Kernels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class CohortLap:
    """A job: `passes` times `steps` steps of `size` runs over one stream of batches. Yields the mean loss of
    the last pass.

    The runs are copies of the field's variant: nothing but the batches is shared, so copies cost
    what different variants of that kind cost.
    """

    field: Field
    size: int
    steps: int
    number: int
    kernels: Kernels
    step_path: str = "eager"
    passes: int = 1

    def __call__(self) -> Iterator[float]:
        members, data, stepping = _cohort(self)
        for number in range(self.passes):
            passes = train_epoch(members, data, self.field.recipe, SEED, number + 1, stepping)
        if isinstance(stepping, Graphs) and stepping.trouble is not None:
            raise BenchmarkError(f"the step cannot be a graph: {stepping.trouble}")
        yield sum(float(done.losses.mean()) for done in passes) / len(passes)


@lru_cache(maxsize=16)
def _cohort(lap: CohortLap) -> tuple[list[Member], Data, Stepping]:
    """Kept in its worker from lap to lap."""
    machine = prepare_machine(lap.field.device, RECIPE.precision)
    device, precision = machine.device, machine.precision
    members = []
    for _ in range(lap.size):
        net = lap.field.net()
        use_kernels(net, kernels_on(lap.step_path, dict(lap.kernels)))
        members.append(Member(make_trainer(net, lap.field.recipe, device, precision)))
    data = to_device(lap.field.images(lap.steps), "tutorial", 0.0, device)
    eager = lap.step_path == "eager"
    return members, data, step_eagerly if eager else make_graphs(lap.step_path)


class Squad:
    """Workers that wait for laps, with the kernels that are fastest on this machine."""

    def __init__(self, field: Field, executor: Executor) -> None:
        self._field, self._executor = field, executor
        self.kernels = measure_kernels(executor, field.device)

    def lap(
        self, workers: int, cohort: int, step_path: str = "eager", epochs: int = 1
    ) -> tuple[int, float]:
        """So many times the images of the field, shared out to all runs: how many, and the mean loss."""
        share = max(1, round(epochs * self._field.steps / (workers * cohort)))
        # No more images at a time than the field has: augmenting a pass takes memory.
        steps = min(share, self._field.steps)
        passes = max(1, round(share / steps))
        laps = [
            CohortLap(self._field, cohort, steps, number, self.kernels, step_path, passes)
            for number in range(workers)
        ]
        losses = list(gather(self._executor, laps))
        images = workers * cohort * passes * steps * RECIPE.batch_size
        return images, math.fsum(losses) / len(losses)


def play(field: Field, entry: Entry, turn: Turn) -> Never:
    """`entry.workers` processes with one thread each, `entry.cohort` runs in each of them."""
    with LocalExecutor(entry.workers) as executor:
        squad = Squad(field, executor)
        while True:
            turn.begin()
            turn.end(*squad.lap(entry.workers, entry.cohort, entry.step_path, entry.epochs))


def measure_kernels(executor: Executor, device: str) -> Kernels:
    """The path of each kind of attention, measured as `ablate run` does before it trains."""
    [chosen] = gather(executor, [MeasureKernels(device, RECIPE.precision)])
    return tuple(sorted((name, str(each.choice)) for name, each in chosen.items()))


def gather(executor: Executor, jobs: Iterable[Job]) -> Iterator[Any]:
    """What the jobs yield, side by side.

    Raises:
        BenchmarkError: one of them raised, or lost its process.
    """
    for number, job in enumerate(jobs):
        executor.submit(str(number), job)
    while executor.busy:
        for _, event in executor.wait(timeout_seconds=1.0):
            if isinstance(event, Died) or (isinstance(event, Done) and event.error):
                raise BenchmarkError(f"a worker failed: {event}")
            if not isinstance(event, Done):
                yield event
