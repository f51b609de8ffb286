"""In which way a machine computes runs."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ablate.result import (
    ComputePath,
)
from ablate.system.hardware.machine import Machine


def find_path(
    machine: Machine,
    kernels: Mapping[str, str],
    *,
    step_path: str = "eager",
    deterministic: bool = False,
) -> ComputePath:
    """The path of runs that this machine computes so. A CPU repeats to the byte in any case."""
    return ComputePath(
        device=machine.name,
        precision=machine.precision.name,
        torch=torch.__version__,
        kernels=tuple(sorted(kernels.items())),
        step_path=step_path,
        deterministic=deterministic or not machine.is_gpu,
    )
