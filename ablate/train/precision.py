"""Devices and number formats: what "auto" and "amp" mean on this machine."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch

from ablate.errors import DeviceError

THREADS = 1
"""Threads of a run on a CPU. Always one: the order of a sum, and so a result, must not depend on the
machine; and two runs side by side are faster than one run with two threads."""


FP32_PRECISION = "ieee"
"""fp32 means fp32: TF32 is off everywhere."""
CPU_COHORT = 4
"""Measured: docs/benchmarks.md; 2 to 8 differ by less than the noise there."""
GPU_COHORT = 8
"""Where it is not measured (`ablate.kernels`); a cohort that does not fit into memory is halved."""


@dataclass(frozen=True)
class Precision:
    """What autocast does: `name` is what the database says, `dtype` None means fp32 throughout.

    `exact` is the reference: the plain modules, in PyTorch's own memory format. On a CPU its batch
    norm is 300 times more accurate than the one of channels last, which is 1.5 times faster.
    """

    name: str
    dtype: torch.dtype | None
    scaled: bool = False
    exact: bool = False

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.contiguous_format if self.exact else torch.channels_last

    def autocast(self, device: torch.device) -> AbstractContextManager[None]:
        """Without the cache of cast weights on a GPU: nothing made outside a CUDA graph may be read in
        one (pytorch#71631), and the plain path is to do what the graph does.
        """
        return torch.autocast(
            device.type,
            dtype=self.dtype,
            enabled=self.dtype is not None,
            cache_enabled=device.type != "cuda",
        )


FP32 = Precision("fp32", None, exact=True)
AMP_FP32 = Precision("amp-fp32", None)
BF16 = Precision("amp-bf16", torch.bfloat16)
FP16 = Precision("amp-fp16", torch.float16, scaled=True)


def choose_precision(asked: str, device: torch.device) -> Precision:
    """`fp32` as asked; for `amp` bf16 where the hardware has it, else fp16 on a GPU, else fp32.

    bf16 on a CPU without AMX or AVX512-BF16 is emulated and slower than fp32.
    """
    if asked == "fp32":
        return FP32
    if device.type == "cuda":
        return BF16 if torch.cuda.is_bf16_supported(including_emulation=False) else FP16
    return BF16 if cpu_has_bf16() else AMP_FP32


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 numbers itself (AMX or AVX512-BF16)."""
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def choose_device(asked: str) -> torch.device:
    """The device for `auto`, `cpu` or `cuda`.

    Raises:
        DeviceError: `cuda` was asked for and torch finds none.
    """
    if asked == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "device 'cuda' was asked for, but torch finds no usable CUDA device: "
            "look at `ablate doctor`, or use --device cpu"
        )
    if asked == "auto":
        asked = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(asked)


def default_workers(device: torch.device) -> int:
    """How many runs go side by side unless set: one for each core of a CPU, one on a GPU."""
    return 1 if device.type == "cuda" else os.cpu_count() or 1


def default_cohort(device: torch.device) -> int:
    """How many runs of a seed one worker trains side by side unless set."""
    return GPU_COHORT if device.type == "cuda" else CPU_COHORT


def prepare_device(asked: str, *, deterministic: bool = False) -> torch.device:
    """The device, with this process set up to train on it.

    fp32 means fp32: TF32 is off everywhere. On a CPU everything repeats to the byte; on a GPU only
    `deterministic`, which is slower and refuses operators that cannot.

    Raises:
        DeviceError: it is not there.
    """
    torch.set_num_threads(THREADS)
    keep_freed_memory()
    torch.backends.fp32_precision = FP32_PRECISION  # type: ignore[attr-defined]
    device = choose_device(asked)
    if device.type == "cuda":
        # cuBLAS reads it when it is first used.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(deterministic)
        torch.backends.cudnn.benchmark = not deterministic
    return device


def keep_freed_memory() -> None:
    """Let glibc keep what is freed: every step takes the same few megabytes again, and getting them from
    the system anew costs a page fault for each 4 KiB.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        trim_threshold, mmap_threshold = -1, -3
        mallopt(mmap_threshold, 2**30)
        mallopt(trim_threshold, 2**31 - 1)


def device_name(device: torch.device) -> str:
    """The name under which costs on this device are stored, for example `NVIDIA H200`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return cpu_name()


def cpu_name() -> str:
    """The processor's model name and the number of cores that this process may use."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model} ({cores} cores)"
