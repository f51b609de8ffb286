"""Which way to compute attention is faster on this device: plain or fused, for each module.

Both paths are timed on one feature map, forward and backward, in rounds of one block each with the
order reversed from round to round, so that a drifting clock hits both alike; the smaller median
wins. On a GPU both are recorded and the recording is timed, as it will be used: eagerly the one with fewer
calls from Python would win. To be run once for a device and stored: timed twice, two close paths may change
places.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch

from ablate.attention import ATTENTION, KERNELS, fusable
from ablate.attention.base import Attention
from ablate.measure.rounds import median_seconds
from ablate.result import Choice
from ablate.system.hardware.device_errors import CaptureError, ProcessSpentError
from ablate.system.hardware.machine import prepare_machine
from ablate.system.hardware.precision import Precision
from ablate.system.process.randomness import seeded
from ablate.train.recorder import Record, record_alone

SHAPE = (64, 64, 16, 16)
"""A batch of 64 in the middle of a small network: 1 million values."""
ROUNDS = 9
BLOCK_SECONDS = 0.004
WARM_UP_CALLS = 2
TRAINING_BYTES = 24 * 2**20
PLAIN = "plain"


@dataclass(frozen=True)
class MeasureKernels:
    """A job: choose the kernels for a device ("cpu", "cuda", "auto") and a recipe's precision.

    Yields one event: the choice for each attention that has a fused kernel, for `use_kernels`.
    """

    device: str
    precision: str

    def __call__(self) -> Iterator[dict[str, Choice]]:
        machine = prepare_machine(self.device, self.precision)
        record = record_alone if machine.is_gpu else None
        try:
            yield measure_kernels(machine.device, machine.precision, record)
        except CaptureError as error:
            # No other one can be measured in this process: the plain equations are always right.
            reason = f"their steps cannot be recorded: {error}"
            yield {name: Choice(PLAIN, reason) for name in fusable()}
            raise ProcessSpentError from error


def measure_kernels(
    device: torch.device, precision: Precision, record: Record | None = None
) -> dict[str, Choice]:
    """The faster kernel of each attention that has two; of recorded work, given what records it.

    Raises:
        CaptureError: it cannot be recorded.
    """
    _warm_allocator(device)
    return {name: _faster(name, device, precision, record) for name in fusable()}


def _warm_allocator(device: torch.device) -> None:
    """Bring the CPU's allocator into the state in which training has it.

    glibc gives memory back to the system, and pays for page faults, up to the size of the largest
    block freed so far. A training step soon frees larger ones than the feature map here.
    """
    if device.type == "cpu":
        torch.empty(TRAINING_BYTES, dtype=torch.uint8)


def _faster(name: str, device: torch.device, precision: Precision, record: Record | None) -> Choice:
    works = {kernel: _work(name, kernel, device, precision) for kernel in KERNELS}
    if record is not None:
        works = {kernel: record(device, work) for kernel, work in works.items()}
    blocks = {
        kernel: partial(_block, work, _repeats(work, device), device)
        for kernel, work in works.items()
    }
    return choose_faster(median_seconds(blocks, ROUNDS))


def _block(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Seconds for one call, over a block of them."""
    return _seconds(work, repeats, device) / repeats


def choose_faster(seconds: Mapping[str, float]) -> Choice:
    """The kernel that takes the least time, and how much less than the others."""
    best = min(seconds, key=lambda kernel: seconds[kernel])
    ratios = [
        f"{seconds[k] / seconds[best]:.2f} times as fast as {k}" for k in seconds if k != best
    ]
    return Choice(best, ", ".join(ratios))


def _work(
    name: str, kernel: str, device: torch.device, precision: Precision
) -> Callable[[], object]:
    """One forward and backward of a module on a feature map as it comes from a convolution."""
    with seeded(0):
        module = ATTENTION[name](SHAPE[1]).to(device)
    module.kernel = kernel
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(SHAPE, generator=generator) for _ in range(2)]
    x, grad = (
        value.to(device, precision.dtype).contiguous(memory_format=torch.channels_last)
        for value in values
    )
    return partial(_step, module, x.requires_grad_(), grad, precision)


def _step(module: Attention, x: torch.Tensor, grad: torch.Tensor, precision: Precision) -> None:
    with precision.autocast(x.device):
        y = module(x)
    # A scalar loss, as in training: to hand `grad` to torch.autograd loads the compiler, 1.7 s.
    torch.autograd.grad((y * grad).sum(), [x, *module.parameters()])


def _repeats(work: Callable[[], object], device: torch.device) -> int:
    """How many calls fill a block; the first calls only let caches and kernels settle."""
    _seconds(work, WARM_UP_CALLS, device)
    once = _seconds(work, WARM_UP_CALLS, device) / WARM_UP_CALLS
    return max(1, round(BLOCK_SECONDS / once))


def _seconds(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Seconds for that many calls; the device is waited for only before and after."""
    _synchronise(device)
    started = time.perf_counter()
    for _ in range(repeats):
        work()
    _synchronise(device)
    return time.perf_counter() - started


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
