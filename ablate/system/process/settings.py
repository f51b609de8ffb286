"""Settings that hold for a whole process, most of them torch's: a network that sets one sets it for all."""

from __future__ import annotations

import os
import signal
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


def _interrupt() -> Any:
    return signal.getsignal(signal.SIGINT)


def _set_interrupt(handler: Any) -> None:
    signal.signal(signal.SIGINT, handler)  # only the main thread can have set another


def _flushes_denormals() -> bool:
    return float(torch.tensor(1e-310, dtype=torch.float64, device="cpu") * 1) == 0


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
    "cuDNN": _switch(torch.backends.cudnn, "enabled"),
    "denormals": (_flushes_denormals, torch.set_flush_denormal),
    "older fp32 precision": (_precision_of_products, _set_precision_of_products),
    "fp32 precision": _switch(torch.backends, "fp32_precision"),
    "fp32 precision of products": _switch(torch.backends.cuda.matmul, "fp32_precision"),
    "working directory": (os.getcwd, os.chdir),
    "what Ctrl-C does": (_interrupt, _set_interrupt),
    "flash attention": (
        torch.backends.cuda.flash_sdp_enabled,
        torch.backends.cuda.enable_flash_sdp,
    ),
    "lean attention": (
        torch.backends.cuda.mem_efficient_sdp_enabled,
        torch.backends.cuda.enable_mem_efficient_sdp,
    ),
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


@contextmanager
def hooks_of_all_modules() -> Iterator[list[str]]:
    """Afterwards the list names the hooks that were registered within for every module of the process; they
    are taken out again."""
    before = {name: dict(table) for name, table in _tables().items()}
    found: list[str] = []
    try:
        yield found
    finally:
        for name, table in _tables().items():
            if table.keys() != before[name].keys():
                found.append(name.removeprefix("_global_").replace("_", " "))
                table.clear()
                table.update(before[name])


def _tables() -> dict[str, dict[int, Any]]:
    held = vars(torch.nn.modules.module)
    return {k: v for k, v in held.items() if k.startswith("_global_") and isinstance(v, dict)}
