"""torch's own settings, which hold for a whole process: a network that sets one sets it for every other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

Setting = tuple[Callable[[], Any], Callable[[Any], object]]


def _switch(room: Any, name: str) -> Setting:
    return lambda: getattr(room, name), lambda value: setattr(room, name, value)


def _precision_of_products() -> str | None:
    """torch's older switch; None where it refuses to be read, since the newer ones say something else."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None


def _set_precision_of_products(value: str | None) -> None:
    if value is not None:
        torch.set_float32_matmul_precision(value)


SETTINGS: dict[str, Setting] = {
    "default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "default device": (torch.get_default_device, torch.set_default_device),
    "gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
    "anomaly detection": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "threads": (torch.get_num_threads, torch.set_num_threads),
    "deterministic algorithms": (
        torch.get_deterministic_debug_mode,
        torch.set_deterministic_debug_mode,
    ),
    "cuDNN benchmark": _switch(torch.backends.cudnn, "benchmark"),
    "cuDNN deterministic": _switch(torch.backends.cudnn, "deterministic"),
    "older fp32 precision": (_precision_of_products, _set_precision_of_products),
    "fp32 precision": _switch(torch.backends, "fp32_precision"),
    "fp32 precision of products": _switch(torch.backends.cuda.matmul, "fp32_precision"),
    "fp32 precision of oneDNN's products": _switch(torch.backends.mkldnn.matmul, "fp32_precision"),  # type: ignore[attr-defined]
}
"""Name → how it is read and written."""


@contextmanager
def settings_kept() -> Iterator[None]:
    """Whatever is set within, it is afterwards as it was: the recipe and this machine decide it."""
    before = {name: read() for name, (read, _) in SETTINGS.items()}
    try:
        yield
    finally:
        for name, (read, write) in SETTINGS.items():
            if read() != before[name]:
                write(before[name])
