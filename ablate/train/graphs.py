"""The whole step of a cohort as one CUDA graph: a single launch for what takes hundreds otherwise.

In the graph a batch is gathered from the augmented images on the device, and every member steps on a
branch of its own, on a stream of its own, drawing dropout from a generator of its own: a member gets what it
gets in eager mode, whoever steps beside it. What differs from step to step is read from tensors, and
losses are written into one, so nothing waits for the device. A last, smaller batch has a graph of its own.

An fp16 scaler is part of the graph: with fused optimizers it decides on the device.

On the path `compiled` a compiler writes the forward and backward that the graph records: what stands
between two convolutions (batch norm, ReLU, pooling, attention) becomes a few kernels.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from ablate.study import Recipe
from ablate.study.batches import epoch_images
from ablate.system.hardware.device_errors import CaptureError, breaks_process, out_of_memory
from ablate.system.messages.text import duration, one_line
from ablate.system.process.randomness import HostDraws
from ablate.train.batch import Batch, empty_labels
from ablate.train.cohort import Course, Member, Stepped, step_eagerly
from ablate.train.data import Data, chunk_images, train_chunks
from ablate.train.optimizers import set_learning_rate
from ablate.train.recorder import (
    CudaRecorder,
    Recorder,
)
from ablate.train.saved import Saved
from ablate.train.step import Forward, Trainer

MOST_NETWORKS = 1024
"""That one process compiles."""
QUICK_SECONDS = 10.0
"""Compiling that nobody need be told of."""


def compile_network(net: nn.Module, backend: str = "inductor") -> Forward:
    """A network compiled for the shapes that it is called with; its weights stay where they are.

    Dropout draws what the plain network draws. What cannot be compiled as a whole raises.
    """
    # One network after the other goes through the same lines of code, each compiled for itself.
    torch._dynamo.config.recompile_limit = MOST_NETWORKS
    torch._dynamo.config.accumulated_recompile_limit = MOST_NETWORKS
    # Attention hangs on a hook: without it in the guards, a network would get the code of another one.
    torch._dynamo.config.skip_nnmodule_hook_guards = False
    options: dict[str, Any] | None = {"fallback_random": True} if backend == "inductor" else None
    compiled: Forward = torch.compile(
        net, dynamic=False, fullgraph=True, backend=backend, options=options
    )
    return compiled


@dataclass
class Graphs:
    """A way to step cohorts: records a cohort's step when its members are new, then repeats it.

    `compiler` makes of a network what is recorded in its place; None records the network itself.
    `trouble` says why the plain way was taken after all, from then on; None while all is well. A capture
    that fails is no such thing: after it this process must not go on, and it raises. `compiled` says what the
    compiler has not found on the disk, and how long that took; None where it was quick.
    """

    recorder: Callable[[torch.device, int], Recorder] = CudaRecorder
    compiler: Callable[[nn.Module], Forward] | None = None
    trouble: str | None = None
    compiled: str | None = None
    _recorded: RecordedCohort | None = None
    _compiled: list[tuple[nn.Module, Forward]] = field(default_factory=list)

    def __call__(
        self, members: Sequence[Member], data: Data, recipe: Recipe, course: Course
    ) -> Stepped:
        recorded = self._for(members, data, recipe, course)
        if recorded is None:
            return step_eagerly(members, data, recipe, course)
        return recorded.step_through(members, data, recipe, course)

    def _for(
        self, members: Sequence[Member], data: Data, recipe: Recipe, course: Course
    ) -> RecordedCohort | None:
        trainers = [member.trainer for member in members]
        if self.trouble is not None or len(data.train) < recipe.step_images:
            return None
        if self._recorded is None or not self._recorded.is_of(trainers, data):
            self._recorded = None  # frees its memory first
            began, known = time.perf_counter(), misses()
            try:
                self._recorded = RecordedCohort(
                    trainers, data, recipe, course.steps, self.recorder, self._forwards(trainers)
                )
            except Exception as error:
                spent = isinstance(error, CaptureError) or breaks_process(error)
                if spent or out_of_memory(error) is not None:
                    raise
                self.trouble = one_line(error)
            self._note_compiling(time.perf_counter() - began, misses() - known, len(trainers))
        return self._recorded

    def _note_compiling(self, seconds: float, anew: Counter[str], networks: int) -> None:
        if anew and seconds > QUICK_SECONDS:
            graphs = ", ".join(f"{count} {what}" for what, count in anew.items())
            said = f"a cohort of {networks} has compiled for {duration(seconds)}"
            self.compiled = f"{said}: not on the disk were {graphs}"

    def _forwards(self, trainers: Sequence[Trainer]) -> list[Forward | None]:
        """What computes each network in its place; compiled once, however often it is recorded."""
        if self.compiler is None:
            return [None] * len(trainers)
        known = {id(net): forward for net, forward in self._compiled}
        nets = [trainer.net for trainer in trainers]
        self._compiled = [(net, known.get(id(net)) or self.compiler(net)) for net in nets]
        return [forward for _, forward in self._compiled]


def misses() -> Counter[str]:
    """What this process's compiler has looked for on the disk and not found, so far. torch's own counters."""
    counted = torch._dynamo.utils.counters
    return Counter(
        {
            "traced networks": counted["aot_autograd"]["autograd_cache_miss"],
            "compiled passes": counted["inductor"]["fxgraph_cache_miss"],
        }
    )


def make_graphs(step_path: str) -> Graphs:
    """What steps cohorts on the path `graph` or `compiled`."""
    return Graphs(compiler=compile_network if step_path == "compiled" else None)


def kernels_on(step_path: str, kernels: Mapping[str, str]) -> dict[str, str]:
    """How attention is computed on a path: a compiler makes its own of the plain equations."""
    return {} if step_path == "compiled" else dict(kernels)


class RecordedCohort:
    """The recorded step of some trainers, and the tensors that it reads and writes; that of the smaller
    batch at the end of an epoch, if there is one, beside it. `forwards` compute whole batches.
    """

    def __init__(
        self,
        trainers: list[Trainer],
        data: Data,
        recipe: Recipe,
        steps: int,
        recorder: Callable[[torch.device, int], Recorder],
        forwards: Sequence[Forward | None],
    ) -> None:
        device, images = data.device, data.train.images
        rows = min(chunk_images(data, recipe.step_images), len(data.train))
        self.trainers, self._count = trainers, len(data.train)
        self._frozen = [trainer.frozen for trainer in trainers]
        # Channels last, with which a gather of images gives a batch in that format.
        self._images = torch.zeros(rows, *images.shape[2:], images.shape[1], device=device)
        self._labels = empty_labels(rows, recipe, device)
        self._rates = torch.zeros(len(trainers), steps, device=device)
        self._losses = torch.zeros(len(trainers), steps, device=device)
        self._right = torch.zeros(len(trainers), steps, dtype=torch.int64, device=device)
        self._numbers = torch.arange(steps, device=device)
        # How far an epoch has come: its steps, and the first row of the next batch.
        self._step = torch.zeros(1, dtype=torch.int64, device=device)
        self._row = torch.zeros(1, dtype=torch.int64, device=device)
        saved, draws = [Saved(trainer) for trainer in trainers], HostDraws(device)
        rest = epoch_images(len(data.train), recipe) % recipe.step_images
        try:
            self._whole = self._record(recipe.step_images, recorder, forwards)
            # A compiler would have to work again for the one other shape.
            plain = [None] * len(trainers)
            self._rest = self._record(rest, recorder, plain) if rest else None
        finally:
            for each in saved:
                each.restore()
        if (source := draws.seen()) is not None:
            raise RuntimeError(f"a network draws from {source}, and a graph would repeat one draw")

    def is_of(self, trainers: list[Trainer], data: Data) -> bool:
        """Whether these trainers were recorded, for so many images, with the same parts of them frozen."""
        frozen = [trainer.frozen for trainer in trainers]
        recorded = self.trainers == trainers and self._frozen == frozen
        return recorded and self._count == len(data.train)

    def _record(
        self,
        images: int,
        make_recorder: Callable[[torch.device, int], Recorder],
        forwards: Sequence[Forward | None],
    ) -> _RecordedBatch:
        """The step of a batch of so many images."""
        recorder = make_recorder(self._step.device, len(self.trainers))
        places = torch.arange(images, device=self._step.device)
        recorder.capture(lambda: self._work(recorder, places, forwards))
        gradients = [[p.grad for p in _parameters(trainer)] for trainer in self.trainers]
        return _RecordedBatch(recorder, gradients)

    def step_through(
        self, members: Sequence[Member], data: Data, recipe: Recipe, course: Course
    ) -> Stepped:
        """One epoch."""
        self._rates.copy_(torch.from_numpy(course.rates))
        self._step.zero_()
        number, left = 0, None
        for images, labels in train_chunks(data, recipe, course.seed, course.epoch):
            whole = len(labels) // recipe.step_images
            self._fill(images, labels)
            batches = [self._whole] * whole
            if len(labels) % recipe.step_images and self._rest is not None:
                batches.append(self._rest)
            for batch in batches:
                if batch is not left:  # the other one has left its own gradients in their place
                    batch.show_gradients(self.trainers)
                batch.recorder.replay(course.dropout_seed(number))
                number, left = number + 1, batch
                course.take_histograms(members, number)
        # The host spends nothing on a member alone.
        return Stepped(self._losses.clone(), self._right.clone(), np.zeros(len(members)))

    def _work(
        self, recorder: Recorder, places: torch.Tensor, forwards: Sequence[Forward | None]
    ) -> None:
        """One step of everybody: what is recorded."""
        rows = (places + self._row) % len(self._images)
        images = self._images.index_select(0, rows).permute(0, 3, 1, 2)
        batch = images, self._labels.index_select(0, rows)
        results = recorder.side_by_side(
            [
                self._member(index, trainer, batch, forwards[index])
                for index, trainer in enumerate(self.trainers)
            ]
        )
        losses, right = (torch.stack(values)[:, None] for values in zip(*results, strict=True))
        # Not by index: writing to an index that is on the device sorts, in deterministic mode.
        now = self._numbers == self._step
        torch.where(now, losses, self._losses, out=self._losses)
        torch.where(now, right, self._right, out=self._right)
        # Round and round: a warm-up may take more steps than an epoch has.
        self._step.add_(1).remainder_(len(self._numbers))
        self._row.add_(len(places)).remainder_(len(self._images))

    def _member(
        self, index: int, trainer: Trainer, batch: Batch, forward: Forward | None
    ) -> Callable[[], tuple[torch.Tensor, torch.Tensor]]:
        def step() -> tuple[torch.Tensor, torch.Tensor]:
            rate = self._rates[index].index_select(0, self._step)
            set_learning_rate(trainer.optimizer, rate[0])
            return trainer.step(batch, forward)

        return step

    def _fill(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        self._images[: len(labels)].copy_(images.permute(0, 2, 3, 1))
        self._labels[: len(labels)].copy_(labels)
        self._row.zero_()


@dataclass(frozen=True)
class _RecordedBatch:
    """The step of a batch of one size, and the gradients (per trainer, per parameter) that it leaves."""

    recorder: Recorder
    gradients: list[list[torch.Tensor | None]]

    def show_gradients(self, trainers: Sequence[Trainer]) -> None:
        """Let the parameters have these for their gradients."""
        for trainer, gradients in zip(trainers, self.gradients, strict=True):
            for parameter, gradient in zip(_parameters(trainer), gradients, strict=True):
                parameter.grad = gradient


def _parameters(trainer: Trainer) -> list[torch.Tensor]:
    return [p for group in trainer.optimizer.param_groups for p in group["params"]]
