"""CUDA graphs themselves: work that is captured once and replayed, a branch for each network of a cohort."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

import torch

from ablate.system.hardware.device_errors import CaptureError
from ablate.system.messages.text import one_line

T = TypeVar("T")


WARM_UP_STEPS = 3
"""Before a capture: libraries make their workspaces and choose their kernels, optimizers their state."""


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


def _index(device: torch.device) -> int:
    return torch.cuda.current_device() if device.index is None else device.index
