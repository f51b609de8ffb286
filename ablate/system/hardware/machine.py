"""The machine that a command works on: found once, then passed on."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from ablate.errors import DeviceError
from ablate.system.hardware.gpus import VISIBLE, gpus_of_a_kind
from ablate.system.hardware.known_machine import KnownMachine
from ablate.system.hardware.precision import (
    Precision,
    choose_precision,
    forbid_tf32,
    fp32_precision,
)
from ablate.system.hardware.processor import count_cores, cpu_name
from ablate.system.software.environment import describe_environment, nvidia_driver

THREADS = 1
"""Threads of a run on a CPU. Always one: the order of a sum, and so a result, must not depend on the
machine; and two runs side by side are faster than one run with two threads."""

CPU_COHORT = 4
"""Measured: docs/benchmarks.md; 2 to 8 differ by less than the noise there."""
GPU_COHORT = 8
"""Where it is not measured (`ablate.tune`); a cohort that does not fit into memory is halved."""


@dataclass(frozen=True)
class Machine:
    """Where a command, or a worker, trains and measures, and in which number format.

    `name` is that under which costs are stored, for example `NVIDIA H200`; `cores` are those that this
    process may use; `gpus` are the devices of that name, as `CUDA_VISIBLE_DEVICES` calls them.
    """

    device: torch.device
    name: str
    precision: Precision
    cores: int
    gpus: tuple[str, ...] = ()

    @property
    def is_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def workers(self) -> int:
        """How many runs go side by side unless set: one for each core of a CPU, one on each GPU."""
        return self.known.workers

    @property
    def known(self) -> KnownMachine:
        """What of it can be told without torch."""
        device, gpu_bytes = self.device, None
        if self.is_gpu and torch.cuda.is_available():
            gpu_bytes = int(torch.cuda.get_device_properties(device).total_memory)
        return KnownMachine(
            device.type, self.name, self.precision.name, self.cores, gpu_bytes, len(self.gpus)
        )

    @property
    def cohort(self) -> int:
        """How many runs of a seed one worker trains side by side unless set or measured."""
        return GPU_COHORT if self.is_gpu else CPU_COHORT


def find_machine(device: str = "auto", precision: str = "amp") -> Machine:
    """The machine with the device `auto`, `cpu` or `cuda`, and what a recipe's precision means on it.

    Raises:
        DeviceError: `cuda` was asked for and torch finds none.
    """
    found = _find_device(device)
    gpus: tuple[str, ...] = ()
    name = cpu_name()
    if found.type == "cuda":
        kinds = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        name, gpus = kinds[0], gpus_of_a_kind(kinds, os.environ.get(VISIBLE))
    return Machine(found, name, choose_precision(precision, found), count_cores(), gpus)


def prepare_machine(
    device: str = "auto", precision: str = "amp", *, deterministic: bool = False
) -> Machine:
    """The same, with this process set up to train on it.

    fp32 means fp32: TF32 is off everywhere. On a CPU everything repeats to the byte; on a GPU only
    `deterministic`, which is slower and refuses operators that cannot.

    Raises:
        DeviceError: it is not there.
    """
    torch.set_num_threads(THREADS)
    keep_freed_memory()
    forbid_tf32()
    machine = find_machine(device, precision)
    if machine.is_gpu:
        # cuBLAS reads it when it is first used.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(deterministic)
        # Nothing here reads what it has not written, and filling costs a kernel for each tensor.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = not deterministic
    return machine


def describe_process(
    machine: Machine,
    kernels: Mapping[str, str],
    *,
    step_path: str = "eager",
    deterministic: bool = False,
) -> dict[str, Any]:
    """Where results come from that this process computes on its machine."""
    gpu, multiplied = machine.is_gpu, fp32_precision()
    return {
        **describe_environment(),
        "device": machine.name,
        "precision": machine.precision.name,
        "cuda": torch.version.cuda if gpu else None,
        "cudnn": torch.backends.cudnn.version() if gpu else None,
        "nvidia_driver": nvidia_driver() if gpu else None,
        "fp32_precision": multiplied,
        "tf32": "tf32" in multiplied,
        "deterministic": deterministic or not gpu,
        "kernels": dict(kernels),
        "step_path": step_path,
    }


def _find_device(asked: str) -> torch.device:
    if asked == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "device 'cuda' was asked for, but torch finds no usable CUDA device: "
            "look at `ablate doctor`, or use --device cpu"
        )
    if asked == "auto":
        asked = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(asked)


@contextmanager
def one_thread() -> Iterator[None]:
    """As many threads as a run has. For many small products, too: where other processes have work, threads
    that wait for each other take ten times as long.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_freed_memory() -> None:
    """Let glibc keep what is freed: every step takes the same few megabytes again, and getting them from
    the system anew costs a page fault for each 4 KiB.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        trim_threshold, mmap_threshold = -1, -3
        mallopt(mmap_threshold, 2**30)
        mallopt(trim_threshold, 2**31 - 1)
