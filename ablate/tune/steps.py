"""How a GPU steps cohorts: by CUDA graph only if that works, trains the same and is faster; compiled only
if that is faster still, and saves more time than compiling takes.

A cohort of the study's own variants is stepped eagerly, eagerly again, and by graph, from the same
warmed state over the same two batches: what a graph does wrong it does in the first step, and what differs
in the last digits training has not yet amplified. The graph may differ from eager steps no more than they
from each other, with a margin. What each takes is measured apart, over whole batches. To be run once for a
device and a study's setting, and stored. Whatever goes wrong, the answer is the plain path.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from ablate.datasets.base import Dataset
from ablate.measure.rounds import median_seconds
from ablate.study import ALL_DATA, DataTable, Recipe, Variant
from ablate.study.batches import epoch_images
from ablate.system.hardware.device_errors import (
    CaptureError,
    ProcessSpentError,
    breaks_process,
    chain,
)
from ablate.system.hardware.machine import Machine, prepare_machine
from ablate.system.hardware.precision import AMP_FP32
from ablate.system.messages.text import one_line
from ablate.train.checkpoint import pack, unpack
from ablate.train.cohort import Member, Stepping, step_eagerly, train_epoch
from ablate.train.data import Data, draw, load_data, train_batches
from ablate.train.graphs import Graphs, kernels_on, make_graphs
from ablate.train.step import Forward
from ablate.tune.compiling import FEWEST, processes
from ablate.tune.stepped import (
    SEED,
    TIMED_BATCHES,
    SteppedCohort,
    first_batches,
    free_memory,
    have_gradient,
    make_members,
)

WARMING_BATCHES = 8
"""Before anything is compared: batch norm and the optimizer have their statistics."""
COMPARED_BATCHES = 2
ROUNDS = 5
NOISE_MARGIN = 3.0
"""How many times as far from an eager pass as another eager pass the graph may be."""
LEAST_TOLERANCE = 0.01
"""And what it may always be: a hundredth of the loss, or of how far the weights have moved. What a graph
can do wrong (another dropout, a learning rate or batch of another step) is much more."""
ROUNDING_MARGIN = 1.5
"""How many times as far from fp32 as eager steps in half precision compiled ones may be: a compiler rounds
in other places, which is neither better nor worse."""


MOST_SAVED = 0.5
"""The share of its time that a cohort may hope to save by compiled steps."""
WORTH_SHARE = 0.1
"""The share of what it can save that compiling may take; what takes longer is broken off."""
LEAST_COMPILING_SECONDS = 1.0
"""For each network: with less than that nothing is compiled, so it is not begun."""

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

    `deterministic` asks for what eager steps give to the last bit; `runs` is how many are to be trained so,
    of how many different `networks`.
    """

    variants: tuple[Variant, ...]
    recipe: Recipe
    dataset: Dataset
    device: str
    kernels: Mapping[str, str]
    deterministic: bool = False
    data: DataTable = ALL_DATA
    runs: int = 1
    networks: int = 1

    def __call__(self) -> Iterator[StepPath]:
        recipe = self.recipe
        machine = prepare_machine(self.device, recipe.precision, deterministic=self.deterministic)
        device = machine.device
        if device.type != "cuda":
            yield StepPath("eager", "graphs are for GPUs")
            return
        whole = load_data(self.dataset, recipe, device)
        data = draw(whole, self.data, SEED)
        comparison = Comparison(
            lambda made: self._members(machine, made), data, recipe, exact=self.deterministic
        )
        yield (chosen := comparison.graph(make_graphs("graph")))
        # Of all cohorts: what was compiled for the first one lies on disk for the others.
        passes = passes_of(data, recipe) * max(1.0, self.runs / len(self.variants))
        comparison.compiled_times = self._compiled_times(machine)
        if chosen.path == "graph" and comparison.compiling_seconds(passes) > 0:
            yield comparison.compiled(make_graphs("compiled"), passes, chosen)
        if comparison.spent:
            raise ProcessSpentError
        del comparison
        free_memory(device)  # training goes on in this process

    def _compiled_times(self, machine: Machine) -> float:
        """How many times as long as that of these variants the compiling of all networks takes, side by side
        where there is room; never less than once, as that of these is done.
        """
        at_once = processes(self.networks, machine) if self.networks >= FEWEST else 1
        return max(1.0, self.networks / len(self.variants) / max(1, at_once))

    def _members(self, machine: Machine, made: Made) -> list[Member]:
        precision = machine.precision
        precision = AMP_FP32 if made == "fp32" and not precision.exact else precision
        kernels = kernels_on(made, self.kernels)
        return make_members(
            self.variants, self.recipe, self.dataset, machine.device, precision, kernels
        )


def passes_of(data: Data, recipe: Recipe) -> float:
    """How many passes over the timed batches are as many steps as a run has."""
    steps = math.ceil(epoch_images(len(data.train), recipe) / recipe.step_images)
    return recipe.epochs * steps / TIMED_BATCHES


class Comparison:
    """The ways to step one cohort, over the same few batches of `data`.

    `make_members` makes the cohort anew; `exact` asks for the same to the last bit. `spent` says that a
    capture failed: nothing else must be computed in this process then. What compiling this cohort takes
    counts `compiled_times`.
    """

    def __init__(
        self,
        make_members: Callable[[Made], list[Member]],
        data: Data,
        recipe: Recipe,
        *,
        exact: bool,
    ) -> None:
        self._make, self._recipe, self._exact = make_members, recipe, exact
        self._whole = len(data.train) >= recipe.step_images
        self._warming = first_batches(data, recipe, WARMING_BATCHES)
        self._data = first_batches(data, recipe, COMPARED_BATCHES)
        self._timed = first_batches(data, recipe, TIMED_BATCHES)
        self._warmed: list[bytes] = []
        self._counted: list[list[bool]] = []
        self._eager: SteppedCohort | None = None
        self._graph: SteppedCohort | None = None
        self._allowed = 0.0
        self.spent = False
        self.compiled_times = 1.0

    def graph(self, graphs: Graphs) -> StepPath:
        """`graph` if it can be had, agrees with eager steps and is faster."""
        if not self._whole:
            return StepPath("eager", "no batch is whole")
        try:
            return self._try_graph(graphs)
        except Exception as error:
            # Capturing fails in more ways than can be listed, and there is a path without it.
            return StepPath("eager", f"the step cannot be a graph: {self._said(error)}")

    def compiling_seconds(self, passes: float) -> float:
        """What compiling this cohort may take before so many passes by graph; 0 if it is not to be tried."""
        if self._exact or self._graph is None:
            return 0.0  # a compiler sums in another order
        seconds = WORTH_SHARE * MOST_SAVED * self._graph.seconds(self._timed) * passes
        seconds /= self.compiled_times
        return seconds if seconds >= LEAST_COMPILING_SECONDS * len(self._warmed) else 0.0

    def compiled(self, graphs: Graphs, passes: float, otherwise: StepPath) -> StepPath:
        """`compiled` if that is as good as eager steps, and saves more in so many passes than it costs."""
        try:
            return self._try_compiled(graphs, passes, otherwise)
        except Exception as error:
            return otherwise.noting(f"cannot be compiled: {self._said(error)}")

    def _said(self, error: Exception) -> str:
        """What went wrong, where this process can still say it.

        Raises:
            torch.AcceleratorError: the device answers with nothing but errors.
        """
        if breaks_process(error):
            raise error
        self.spent = any(isinstance(each, CaptureError) for each in chain(error))
        return str(error) if isinstance(error, CaptureError) else one_line(error)

    def _warm(self) -> None:
        """The state from which all are compared, and which parameters have a gradient there."""
        members = self._make("eager")
        train_epoch(members, self._warming, self._recipe, SEED, 1, step_eagerly)
        self._warmed = [pack(member, {}) for member in members]
        batch = next(train_batches(self._data, self._recipe, SEED, 1))
        self._counted = [have_gradient(member.trainer, batch) for member in members]

    def _try_graph(self, graphs: Graphs) -> StepPath:
        self._warm()
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
        ratio = _speed_ratio(eager, graph, self._timed)
        compared = f"{ratio:.2f} times as fast as eager steps, {apart:.2g} apart"
        if ratio <= 1:
            return StepPath("eager", f"the graph is {compared}")
        self._eager, self._graph, self._allowed = eager, graph, allowed
        return StepPath("graph", f"{compared} (allowed {allowed:.2g})")

    def _try_compiled(self, graphs: Graphs, passes: float, otherwise: StepPath) -> StepPath:
        if self._eager is None or self._graph is None or graphs.compiler is None:
            return otherwise
        started, most = time.perf_counter(), self.compiling_seconds(passes)
        graphs.compiler = bounded(graphs.compiler, started + most, most)
        compiled = self._stepped("compiled", graphs)
        took = time.perf_counter() - started
        if graphs.trouble is not None:
            return otherwise.noting(f"cannot be compiled: {graphs.trouble}")
        truth = self._stepped("fp32", step_eagerly)
        apart = compiled.distance(truth)
        allowed = max(self._allowed, ROUNDING_MARGIN * self._eager.distance(truth))
        if not apart <= allowed:
            return otherwise.noting(
                f"compiled it trains otherwise: {apart:.2g} from fp32, allowed {allowed:.2g}"
            )
        ratio = _speed_ratio(self._graph, compiled, self._timed)
        saves = self._graph.seconds(self._timed) * passes * (1 - 1 / ratio)
        compared = f"compiled {ratio:.2f} times as fast, in {took:.0f} s, {apart:.2g} from fp32"
        if saves <= took * self.compiled_times:
            return otherwise.noting(f"{compared}: saves no time here")
        return StepPath("compiled", f"{otherwise.note}; {compared}")

    def _stepped(self, made: Made, stepping: Stepping) -> SteppedCohort:
        """A cohort made anew, from the warmed state through the batches that are compared."""
        members = self._make(made)
        for member, state in zip(members, self._warmed, strict=True):
            unpack(state, member.trainer, {})
        return SteppedCohort(members, self._data, self._recipe, stepping, self._counted)


def bounded(
    compiler: Callable[[nn.Module], Forward], ends: float, seconds: float
) -> Callable[[nn.Module], Forward]:
    """A compiler that begins with no other network once it is later than `ends`."""

    def compile_in_time(net: nn.Module) -> Forward:
        forward, begun = compiler(net), False

        def first_in_time(images: torch.Tensor) -> torch.Tensor:
            nonlocal begun
            if not begun and time.perf_counter() > ends:
                raise TimeoutError(
                    f"it takes longer than {seconds:.0f} s, its part of a tenth of what all can save"
                )
            begun = True
            return forward(images)

        return first_in_time

    return compile_in_time


def _speed_ratio(one: SteppedCohort, other: SteppedCohort, data: Data) -> float:
    """How many times as fast as the one the other is, the two in turns."""
    timed = {"one": lambda: one.seconds(data), "other": lambda: other.seconds(data)}
    seconds = median_seconds(timed, ROUNDS)
    return seconds["one"] / seconds["other"]
