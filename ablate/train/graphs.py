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

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import nn

from ablate.study import Recipe
from ablate.study.batches import epoch_images
from ablate.system.device_errors import CaptureError, breaks_process, out_of_memory
from ablate.system.randomness import HostDraws
from ablate.system.text import one_line
from ablate.train.batch import Batch, empty_labels
from ablate.train.cohort import Course, Member, Stepped, step_eagerly
from ablate.train.data import Data, chunk_images, train_chunks
from ablate.train.optimizers import set_learning_rate
from ablate.train.step import Forward, Trainer

T = TypeVar("T")

WARM_UP_STEPS = 3
"""Before a capture: libraries make their workspaces and choose their kernels, optimizers their state."""


MOST_NETWORKS = 1024
"""That one process compiles."""


class Recorder(Protocol):
    """Captures a piece of work once and replays it; what it is of, not how."""

    def side_by_side(self, works: Sequence[Callable[[], T]]) -> list[T]:
        """Called by the work that is captured: a branch for each of these."""
        ...

    def capture(self, work: Callable[[], None]) -> None:
        """Capture it; it may be run some times before, and what it does then has to be undone. The work, and
        with it every tensor that it reads, is kept for as long as it may be replayed.

        Raises:
            CaptureError: it cannot be captured, and this process must not go on.
        """
        ...

    def replay(self, dropout_seed: int) -> None:
        """Do what was captured, with every branch drawing from a stream that starts at this seed."""
        ...


Record = Callable[[torch.device, Callable[[], object]], Callable[[], object]]
"""From work on a device to what repeats it."""


class CudaRecorder:
    """A CUDA graph, with a stream and a generator for each branch."""

    def __init__(self, device: torch.device, branches: int) -> None:
        if device.type != "cuda":
            raise ValueError(f"CUDA graphs are for CUDA devices, not for {device.type!r}")
        self._device = device
        self._graph = torch.cuda.CUDAGraph()
        self._main = torch.cuda.Stream(device)
        self._streams = [torch.cuda.Stream(device) for _ in range(branches)]
        self._default = torch.cuda.default_generators[_index(device)]
        self._generators = [torch.Generator(device) for _ in range(branches)]
        for generator in self._generators:
            self._graph.register_generator_state(generator)
        self._work: Callable[[], None] | None = None

    def side_by_side(self, works: Sequence[Callable[[], T]]) -> list[T]:
        main = torch.cuda.current_stream()
        forked = main.record_event()
        results = []
        for stream, generator, work in zip(self._streams, self._generators, works, strict=True):
            stream.wait_event(forked)
            with torch.cuda.stream(stream), self._drawing_from(generator):
                results.append(work())
        for stream in self._streams:
            main.wait_stream(stream)
        return results

    def capture(self, work: Callable[[], None]) -> None:
        # A graph knows tensors by where they lie, and goes on reading there once they are freed.
        self._work = work
        # On the streams of the capture: what libraries keep, they keep for each stream.
        self._main.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._main):
            for _ in range(WARM_UP_STEPS):
                work()
        torch.cuda.current_stream().wait_stream(self._main)
        before = torch.cuda.current_stream()
        try:
            with torch.cuda.graph(self._graph, stream=self._main):
                work()
        except Exception as error:
            # It leaves its stream current, and the device's generator in a state that takes itself for
            # captured and refuses to draw, for as long as this process still has something to say.
            torch.cuda.set_stream(before)
            self._default.graphsafe_set_state(torch.Generator(self._device))
            raise CaptureError(one_line(error)) from error

    def replay(self, dropout_seed: int) -> None:
        for generator in self._generators:
            generator.manual_seed(dropout_seed)
        self._graph.replay()

    @contextmanager
    def _drawing_from(self, generator: torch.Generator) -> Iterator[None]:
        """Dropout draws from the device's own generator and from no other: lend it that state."""
        before = self._default.graphsafe_get_state()
        self._default.graphsafe_set_state(generator.graphsafe_get_state())
        try:
            yield
        finally:
            self._default.graphsafe_set_state(before)


def record_alone(device: torch.device, work: Callable[[], object]) -> Callable[[], object]:
    """Record work of one network, which is done a few times meanwhile; what it draws is the same each time.

    Raises:
        CaptureError: it cannot be captured.
    """
    recorder = CudaRecorder(device, branches=1)

    def drawing_alone() -> None:
        recorder.side_by_side([work])

    recorder.capture(drawing_alone)
    return lambda: recorder.replay(0)


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
    that fails is no such thing: after it this process must not go on, and it raises.
    """

    recorder: Callable[[torch.device, int], Recorder] = CudaRecorder
    compiler: Callable[[nn.Module], Forward] | None = None
    trouble: str | None = None
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
            try:
                self._recorded = RecordedCohort(
                    trainers, data, recipe, course.steps, self.recorder, self._forwards(trainers)
                )
            except Exception as error:
                spent = isinstance(error, CaptureError) or breaks_process(error)
                if spent or out_of_memory(error) is not None:
                    raise
                self.trouble = one_line(error)
        return self._recorded

    def _forwards(self, trainers: Sequence[Trainer]) -> list[Forward | None]:
        """What computes each network in its place; compiled once, however often it is recorded."""
        if self.compiler is None:
            return [None] * len(trainers)
        known = {id(net): forward for net, forward in self._compiled}
        nets = [trainer.net for trainer in trainers]
        self._compiled = [(net, known.get(id(net)) or self.compiler(net)) for net in nets]
        return [forward for _, forward in self._compiled]


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


class Saved:
    """A trainer as it is, to be put back in place: a graph knows tensors by where they lie."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._net = [tensor.detach().clone() for tensor in _tensors(trainer)]
        self._optimizer = {
            (parameter, key): value.clone() for parameter, key, value in _optimizer_tensors(trainer)
        }
        self._scaler = trainer.scaler.state_dict()

    @torch.no_grad()
    def restore(self) -> None:
        for tensor, saved in zip(_tensors(self._trainer), self._net, strict=True):
            tensor.copy_(saved)
        for parameter, key, value in _optimizer_tensors(self._trainer):
            before = self._optimizer.get((parameter, key))
            # What came into being since then begins at zero, with every optimizer that we have.
            value.zero_() if before is None else value.copy_(before)
        self._trainer.scaler.load_state_dict(self._scaler)


def _parameters(trainer: Trainer) -> list[torch.Tensor]:
    return [p for group in trainer.optimizer.param_groups for p in group["params"]]


def _tensors(trainer: Trainer) -> Iterator[torch.Tensor]:
    average = trainer.average.values if trainer.average is not None else []
    return chain(trainer.net.parameters(), trainer.net.buffers(), average)


def _optimizer_tensors(trainer: Trainer) -> Iterator[tuple[torch.Tensor, str, torch.Tensor]]:
    for parameter, state in trainer.optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                yield parameter, key, value


def _index(device: torch.device) -> int:
    return torch.cuda.current_device() if device.index is None else device.index
