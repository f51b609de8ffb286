"""Whether a GPU steps cohorts by CUDA graph: only if that works, trains the same and is faster.

A cohort of the study's own variants is stepped eagerly, eagerly again, and by graph, from the same
weights over the same batches. Two eager passes of a GPU may differ in their last digits, which training
then amplifies; the graph may differ from them no more than that, with a margin. To be run once for a
device and a study's setting, and stored. Whatever goes wrong, the answer is the plain path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ablate.attention import use_kernels
from ablate.datasets.base import Dataset
from ablate.imports import one_line
from ablate.model import build
from ablate.study import Recipe, Variant
from ablate.train.cohort import Member, Pass, Stepping, step_eagerly, train_epoch
from ablate.train.data import Data, Part, load_data
from ablate.train.graphs import Graphs
from ablate.train.precision import choose_precision, prepare_device
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

Path = Literal["eager", "graph"]


@dataclass(frozen=True, slots=True)
class StepPath:
    """How a device steps, and why."""

    path: Path
    note: str


@dataclass(frozen=True)
class StepChoice:
    """A job: choose how cohorts of these variants are stepped. Yields one `StepPath`.

    `deterministic` asks for a graph that gives what eager steps give to the last bit.
    """

    variants: tuple[Variant, ...]
    recipe: Recipe
    dataset: Dataset
    device: str
    kernels: Mapping[str, str]
    deterministic: bool = False

    def __call__(self) -> Iterator[StepPath]:
        device = prepare_device(self.device, deterministic=self.deterministic)
        recipe = self.recipe
        if device.type != "cuda":
            yield StepPath("eager", "graphs are for GPUs")
            return
        data = load_data(self.dataset, recipe.split, recipe.validation_fraction, device)
        yield compare_paths(
            lambda: self._members(device),
            first_batches(data, recipe),
            recipe,
            Graphs(),
            exact=self.deterministic,
        )

    def _members(self, device: torch.device) -> list[Member]:
        precision = choose_precision(self.recipe.precision, device)
        classes, size = len(self.dataset.classes()), self.dataset.image_size
        members = []
        for variant in self.variants:
            net = build(variant, classes, size, SEED)
            use_kernels(net, self.kernels)
            members.append(Member(make_trainer(net, self.recipe, device, precision)))
        return members


def first_batches(data: Data, recipe: Recipe) -> Data:
    """As much of the training set as a comparison takes."""
    images = int(BATCHES * recipe.batch_size)
    return replace(data, train=Part(data.train.images[:images], data.train.labels[:images]))


def compare_paths(
    make_members: Callable[[], list[Member]],
    data: Data,
    recipe: Recipe,
    graphs: Graphs,
    *,
    exact: bool,
) -> StepPath:
    """`graph` if it can be had, agrees with eager steps and is faster; `exact` means to the last bit."""
    if len(data.train) < recipe.batch_size:
        return StepPath("eager", "no batch is whole")
    try:
        return _compare(make_members, data, recipe, graphs, exact)
    except Exception as error:
        # Capturing fails in more ways than can be listed, and there is a path without it.
        return StepPath("eager", f"the step cannot be a graph: {one_line(error)}")


def _compare(
    make_members: Callable[[], list[Member]],
    data: Data,
    recipe: Recipe,
    graphs: Graphs,
    exact: bool,
) -> StepPath:
    eager = _Contestant(make_members(), data, recipe, step_eagerly)
    noise = _Contestant(make_members(), data, recipe, step_eagerly).distance(eager)
    graph = _Contestant(make_members(), data, recipe, graphs)
    if graphs.trouble is not None:
        return StepPath("eager", f"the step cannot be a graph: {graphs.trouble}")
    apart = graph.distance(eager)
    allowed = 0.0 if exact else max(LEAST_TOLERANCE, NOISE_MARGIN * noise)
    if not apart <= allowed:  # so that no number is no agreement
        return StepPath(
            "eager", f"the graph trains otherwise: {apart:.2g} apart, allowed {allowed:.2g}"
        )
    ratio = _faster(eager, graph)
    compared = f"{ratio:.2f} times as fast as eager steps, {apart:.2g} apart"
    if ratio <= 1:
        return StepPath("eager", f"the graph is {compared}")
    return StepPath("graph", f"{compared} (allowed {allowed:.2g})")


def _faster(eager: _Contestant, graph: _Contestant) -> float:
    """How many times as fast as eager steps the graph is, the two in turns."""
    seconds: dict[_Contestant, list[float]] = {eager: [], graph: []}
    for number in range(ROUNDS):
        for each in (eager, graph) if number % 2 == 0 else (graph, eager):
            seconds[each].append(sum(done.seconds for done in each.epoch()))
    return float(np.median(seconds[eager]) / np.median(seconds[graph]))


class _Contestant:
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

    def distance(self, other: _Contestant) -> float:
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
