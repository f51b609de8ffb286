"""How a GPU steps cohorts: by CUDA graph only if that works, trains the same and is faster; compiled only
if that is faster still, and saves more time than compiling takes.

A cohort of the study's own variants is stepped eagerly, eagerly again, and by graph, from the same
weights over the same batches. Two eager passes of a GPU may differ in their last digits, which training
then amplifies; the graph may differ from them no more than that, with a margin. To be run once for a
device and a study's setting, and stored. Whatever goes wrong, the answer is the plain path.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ablate.attention import use_kernels
from ablate.datasets.base import Dataset
from ablate.measure.rounds import median_seconds
from ablate.model import build
from ablate.study import ALL_DATA, DataTable, Recipe, Variant
from ablate.system.machine import Machine, prepare_machine
from ablate.system.precision import AMP_FP32, Precision
from ablate.system.text import one_line
from ablate.train.cohort import Member, Pass, Stepping, step_eagerly, train_epoch
from ablate.train.data import Data, Part, draw, load_data
from ablate.train.graphs import Graphs, kernels_on, make_graphs
from ablate.train.step import make_trainer

SEED = 1
BATCHES = 16.5
"""The half is a last, smaller batch, which every epoch has."""
ROUNDS = 5
NOISE_MARGIN = 3.0
"""How many times as far from an eager pass as another eager pass the graph may be."""
LEAST_TOLERANCE = 0.01
"""And what it may always be: a hundredth of the loss, or of how far the weights have moved. What a graph
can do wrong (another dropout, a learning rate or batch of another step) is much more."""
ROUNDING_MARGIN = 1.5
"""How many times as far from fp32 as eager steps in half precision compiled ones may be: a compiler rounds
in other places, which is neither better nor worse."""

WORTH_COMPILING_SECONDS = 60.0
"""What a cohort must take by graph before compiling is tried: that takes a minute or so itself."""

Path = Literal["eager", "graph", "compiled"]
Made = Path | Literal["fp32"]
"""What a cohort is made for: a path, or eager steps in fp32 to compare with."""


@dataclass(frozen=True, slots=True)
class StepPath:
    """How a device steps, and why."""

    path: Path
    note: str

    def noting(self, more: str) -> StepPath:
        return StepPath(self.path, f"{self.note}; {more}")


@dataclass(frozen=True)
class MeasureSteps:
    """A job: choose how cohorts of these variants are stepped. Yields a `StepPath`, and where compiling is
    tried another one, which then counts: the first is there if compiling takes the process down.

    `deterministic` asks for what eager steps give to the last bit.
    """

    variants: tuple[Variant, ...]
    recipe: Recipe
    dataset: Dataset
    device: str
    kernels: Mapping[str, str]
    deterministic: bool = False
    data: DataTable = ALL_DATA

    def __call__(self) -> Iterator[StepPath]:
        recipe = self.recipe
        machine = prepare_machine(self.device, recipe.precision, deterministic=self.deterministic)
        device = machine.device
        if device.type != "cuda":
            yield StepPath("eager", "graphs are for GPUs")
            return
        whole = load_data(self.dataset, recipe.split, recipe.validation_fraction, device)
        data = draw(whole, self.data, SEED)
        few = first_batches(data, recipe)
        comparison = Comparison(
            lambda made: self._members(machine, made), few, recipe, exact=self.deterministic
        )
        yield (chosen := comparison.graph(make_graphs("graph")))
        passes = recipe.epochs * len(data.train) / len(few.train)
        if chosen.path == "graph" and comparison.worth_compiling(passes):
            yield comparison.compiled(make_graphs("compiled"), passes, chosen)

    def _members(self, machine: Machine, made: Made) -> list[Member]:
        precision = machine.precision
        precision = AMP_FP32 if made == "fp32" and not precision.exact else precision
        kernels = kernels_on(made, self.kernels)
        return make_members(
            self.variants, self.recipe, self.dataset, machine.device, precision, kernels
        )


def make_members(
    variants: Sequence[Variant],
    recipe: Recipe,
    dataset: Dataset,
    device: torch.device,
    precision: Precision,
    kernels: Mapping[str, str],
) -> list[Member]:
    """A cohort of these networks, from the same seed each time."""
    classes, members = len(dataset.classes()), []
    for variant in variants:
        net = build(variant, classes, dataset.image_size, SEED)
        use_kernels(net, kernels)
        members.append(Member(make_trainer(net, recipe, device, precision)))
    return members


def first_batches(data: Data, recipe: Recipe) -> Data:
    """As much of the training set as a comparison takes."""
    images = int(BATCHES * recipe.step_images)
    return replace(data, train=Part(data.train.images[:images], data.train.labels[:images]))


class Comparison:
    """The ways to step one cohort, over the same few batches.

    `make_members` makes the cohort anew; `exact` asks for the same to the last bit.
    """

    def __init__(
        self,
        make_members: Callable[[Made], list[Member]],
        data: Data,
        recipe: Recipe,
        *,
        exact: bool,
    ) -> None:
        self._make, self._data, self._recipe, self._exact = make_members, data, recipe, exact
        self._eager: SteppedCohort | None = None
        self._graph: SteppedCohort | None = None
        self._allowed = 0.0

    def graph(self, graphs: Graphs) -> StepPath:
        """`graph` if it can be had, agrees with eager steps and is faster."""
        if len(self._data.train) < self._recipe.step_images:
            return StepPath("eager", "no batch is whole")
        try:
            return self._try_graph(graphs)
        except Exception as error:
            # Capturing fails in more ways than can be listed, and there is a path without it.
            return StepPath("eager", f"the step cannot be a graph: {one_line(error)}")

    def worth_compiling(self, passes: float) -> bool:
        """Whether so many passes over these batches by graph take long enough to try."""
        if self._exact or self._graph is None:
            return False  # a compiler sums in another order
        return self._graph.seconds() * passes >= WORTH_COMPILING_SECONDS

    def compiled(self, graphs: Graphs, passes: float, otherwise: StepPath) -> StepPath:
        """`compiled` if that is as good as eager steps, and saves more in so many passes than it costs."""
        try:
            return self._try_compiled(graphs, passes, otherwise)
        except Exception as error:
            return otherwise.noting(f"cannot be compiled: {one_line(error)}")

    def _try_graph(self, graphs: Graphs) -> StepPath:
        eager = self._stepped("eager", step_eagerly)
        noise = self._stepped("eager", step_eagerly).distance(eager)
        graph = self._stepped("graph", graphs)
        if graphs.trouble is not None:
            return StepPath("eager", f"the step cannot be a graph: {graphs.trouble}")
        apart = graph.distance(eager)
        allowed = 0.0 if self._exact else max(LEAST_TOLERANCE, NOISE_MARGIN * noise)
        if not apart <= allowed:  # so that no number is no agreement
            return StepPath(
                "eager", f"the graph trains otherwise: {apart:.2g} apart, allowed {allowed:.2g}"
            )
        ratio = _speed_ratio(eager, graph)
        compared = f"{ratio:.2f} times as fast as eager steps, {apart:.2g} apart"
        if ratio <= 1:
            return StepPath("eager", f"the graph is {compared}")
        self._eager, self._graph, self._allowed = eager, graph, allowed
        return StepPath("graph", f"{compared} (allowed {allowed:.2g})")

    def _try_compiled(self, graphs: Graphs, passes: float, otherwise: StepPath) -> StepPath:
        if self._eager is None or self._graph is None:
            return otherwise
        started = time.perf_counter()
        compiled = self._stepped("compiled", graphs)
        costs = time.perf_counter() - started
        if graphs.trouble is not None:
            return otherwise.noting(f"cannot be compiled: {graphs.trouble}")
        truth = self._stepped("fp32", step_eagerly)
        apart = compiled.distance(truth)
        allowed = max(self._allowed, ROUNDING_MARGIN * self._eager.distance(truth))
        if not apart <= allowed:
            return otherwise.noting(
                f"compiled it trains otherwise: {apart:.2g} from fp32, allowed {allowed:.2g}"
            )
        ratio = _speed_ratio(self._graph, compiled)
        saves = self._graph.seconds() * passes * (1 - 1 / ratio)
        compared = f"compiled {ratio:.2f} times as fast, in {costs:.0f} s, {apart:.2g} from fp32"
        if saves <= costs:
            return otherwise.noting(f"{compared}: saves no time here")
        return StepPath("compiled", f"{otherwise.note}; {compared}")

    def _stepped(self, made: Made, stepping: Stepping) -> SteppedCohort:
        return SteppedCohort(self._make(made), self._data, self._recipe, stepping)


def _speed_ratio(one: SteppedCohort, other: SteppedCohort) -> float:
    """How many times as fast as the one the other is, the two in turns."""
    seconds = median_seconds({"one": one.seconds, "other": other.seconds}, ROUNDS)
    return seconds["one"] / seconds["other"]


class SteppedCohort:
    """A cohort that has been stepped through one epoch, and what came of it."""

    def __init__(
        self, members: Sequence[Member], data: Data, recipe: Recipe, stepping: Stepping
    ) -> None:
        self._members, self._data, self._recipe = members, data, recipe
        self._stepping = stepping
        before = [_values(member) for member in members]
        self._losses = np.stack([done.losses for done in self.epoch()])
        self._weights = [_values(member) for member in members]
        self._moved = [
            [float(np.linalg.norm(b - a)) for a, b in zip(*both, strict=True)]
            for both in zip(before, self._weights, strict=True)
        ]

    def epoch(self) -> list[Pass]:
        """Stepped through once more; losses are read at its end, so the device is done."""
        return train_epoch(self._members, self._data, self._recipe, SEED, 1, self._stepping)

    def seconds(self) -> float:
        """What a pass takes."""
        return sum(done.seconds for done in self.epoch())

    def distance(self, other: SteppedCohort) -> float:
        """The larger of the largest difference of a loss, and of the weights or the statistics of any
        member, as shares of what they are, or of how far they have moved.
        """
        apart = [
            float(np.max(np.abs(self._losses - other._losses)) / np.max(np.abs(other._losses)))
        ]
        for mine, theirs, moved in zip(self._weights, other._weights, other._moved, strict=True):
            for a, b, far in zip(mine, theirs, moved, strict=True):
                apart.append(float(np.linalg.norm(a - b)) / far if far else float(np.any(a != b)))
        return float(np.max(apart))


def _values(member: Member) -> list[NDArray[np.float64]]:
    """All parameters as one row of numbers, and all buffers as another."""
    net = member.trainer.net
    groups: list[list[torch.Tensor]] = [list(net.parameters()), list(net.buffers())]
    return [
        np.concatenate([tensor.detach().double().cpu().numpy().ravel() for tensor in group])
        for group in groups
        if group
    ]
