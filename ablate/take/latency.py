"""How long one image takes in ONNX Runtime and in PyTorch: in turns, in several processes, on a CPU.

As throughput is measured (`ablate.measure.throughput`): fresh processes with an order of their own, rounds
whose order is reversed from one to the next, one thread each, and PyTorch under two names, which says how
far two measurements of one thing lie apart.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from ablate.execute.local import LocalExecutor
from ablate.stats.ratios import Ratio, in_family, middle_over, ratio_over
from ablate.stats.words import speed_words
from ablate.system.hardware.machine import THREADS, one_thread
from ablate.take.write import Written, built

PROCESSES = 8
ROUNDS = 3
BLOCK_SECONDS = 0.2
WARM_UP_CALLS = 5
PYTORCH, ONNX, TWIN = "PyTorch", "ONNX Runtime", "PyTorch again"

Times = Mapping[str, list[float]]
"""By name, for each round the median time of one image in milliseconds."""


@dataclass(frozen=True)
class OneImage:
    """A job: one process's part. Yields its `Times`."""

    written: Written
    onnx: bytes
    image_size: int
    block_seconds: float = BLOCK_SECONDS
    process: int = 0

    def __call__(self) -> Iterator[Times]:
        times: dict[str, list[float]] = {PYTORCH: [], ONNX: [], TWIN: []}
        with one_thread(), torch.inference_mode():
            works = {name: self._work(name) for name in self._order()}
            for _ in range(WARM_UP_CALLS):
                for work in works.values():
                    work()
            for number in range(ROUNDS):
                for name in list(works)[:: 1 if number % 2 == 0 else -1]:
                    times[name].append(self._milliseconds(works[name]))
        yield times

    def _order(self) -> list[str]:
        return [
            str(name)
            for name in np.random.default_rng(self.process).permutation([PYTORCH, ONNX, TWIN])
        ]

    def _work(self, name: str) -> Callable[[], object]:
        image = torch.randn(
            1, 3, self.image_size, self.image_size, generator=torch.Generator().manual_seed(0)
        )
        if name != ONNX:
            net = built(self.written)
            return lambda: net(image)
        onnxruntime = importlib.import_module("onnxruntime")  # an extra
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(
            self.onnx, options, providers=["CPUExecutionProvider"]
        )
        given = {"images": image.numpy()}
        return lambda: session.run(None, given)

    def _milliseconds(self, work: Callable[[], object]) -> float:
        found, ends = list[float](), time.perf_counter() + self.block_seconds
        while not found or time.perf_counter() < ends:
            began = time.perf_counter()
            work()
            found.append(1000 * (time.perf_counter() - began))
        return float(np.median(found))


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one image, the geometric mean over processes, and how many times as fast as PyTorch is
    ONNX Runtime, and PyTorch itself when it is measured again.
    """

    pytorch_ms: float
    onnx_ms: float
    ratio: Ratio
    twin: Ratio

    @property
    def told(self) -> str:
        """One line."""
        return (
            f"one image on one thread takes ONNX Runtime {self.onnx_ms:.3g} ms and PyTorch "
            f"{self.pytorch_ms:.3g} ms: {_told(self.ratio)}; PyTorch against itself {_told(self.twin)}"
        )


def _told(ratio: Ratio) -> str:
    if ratio.low is None or ratio.high is None:
        return f"{ratio.ratio:.2f}×, {speed_words(ratio)}"
    return f"{ratio.ratio:.2f}× ({ratio.low:.2f} to {ratio.high:.2f}), {speed_words(ratio)}"


def measure_latency(
    job: OneImage, processes: int = PROCESSES, done: Callable[[int, int], None] = lambda *_: None
) -> Latency:
    """Measure in so many fresh processes; `done` is told how many of them are.

    Raises:
        MeasuringError: one failed or was lost.
    """
    found: list[Times] = []
    with LocalExecutor(workers=1) as executor:
        for number in range(processes):
            done(number, processes)
            executor.close()  # the next job gets a fresh process
            found += executor.results(replace(job, process=number))
    done(processes, processes)
    return latency_of(found)


def latency_of(found: list[Times]) -> Latency:
    """What the times of several processes say together."""

    def against(name: str) -> Ratio:
        pairs = [zip(times[PYTORCH], times[name], strict=True) for times in found]
        return in_family(ratio_over([[ours / other for ours, other in rounds] for rounds in pairs]))

    return Latency(
        pytorch_ms=middle_over([times[PYTORCH] for times in found]),
        onnx_ms=middle_over([times[ONNX] for times in found]),
        ratio=against(ONNX),
        twin=against(TWIN),
    )
