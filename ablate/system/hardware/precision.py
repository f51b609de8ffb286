"""Number formats: what "amp" and "fp32" mean on a device."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from operator import attrgetter

import torch

FP32_PRECISION = "ieee"
"""fp32 means fp32: TF32 is off everywhere."""
FP32_SETTINGS = ("cudnn.conv", "cudnn.rnn", "cuda.matmul")
"""Where torch keeps how fp32 is multiplied on a GPU. The one setting above them reaches all three in torch
2.15, and in 2.11 not those of cuDNN, which stay at TF32 (pytorch#179445)."""


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


def forbid_tf32() -> None:
    """Multiply fp32 as fp32 in every library, from now on in this process."""
    # The older switch too: torch.export reads it, and refuses where the two say different things.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.fp32_precision = FP32_PRECISION  # type: ignore[attr-defined]
    for name in FP32_SETTINGS:
        attrgetter(name)(torch.backends).fp32_precision = FP32_PRECISION


def fp32_precision() -> str:
    """How fp32 is multiplied in this process, as it is in force: one word where all settings agree, else
    each with its own.
    """
    found = {name: attrgetter(name)(torch.backends).fp32_precision for name in FP32_SETTINGS}
    if len(set(found.values())) == 1:
        return str(found[FP32_SETTINGS[0]])
    return ", ".join(f"{name} {value}" for name, value in found.items())


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 numbers itself (AMX or AVX512-BF16)."""
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
