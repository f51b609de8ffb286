"""What of a machine is told without torch: where results come from, and how many runs go side by side."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.system.hardware.processor import cpu_name
from ablate.system.process.owner import host_id
from ablate.system.software.environment import package_version

DEVICES = ("nvidia*", "kfd", "dxg", "dri/*", "accel*")
"""Files in /dev of accelerators."""
ASKED = ("CUDA", "NVIDIA", "HIP", "ROCR", "GPU", "TORCH", "PYTORCH", "ATEN", "ONEDNN", "DNNL")
"""How the names of environment variables begin that hide devices or say how torch computes."""
SET_BY_TORCH = "TORCHINDUCTOR_CACHE_DIR"
"""Where its compiler keeps files: it lays that into the environment when it is imported."""


@dataclass(frozen=True)
class KnownMachine:
    """Kind and name of a device, the number format that a recipe's precision means there, the cores
    that this process may use, the memory of a GPU, and how many such GPUs there are.
    """

    device: str
    name: str
    precision: str
    cores: int
    gpu_bytes: int | None = None
    gpus: int = 0

    @property
    def workers(self) -> int:
        """How many runs go side by side unless set: one for each core of a CPU, one on each GPU."""
        return max(1, self.gpus) if self.device == "cuda" else self.cores


def signs_of_machine() -> dict[str, Any]:
    """What must be as it was for torch to find the same device: the boot, the processor, the files of
    devices and drivers, torch itself, and what the environment says to it.
    """
    devices = sorted(str(path) for glob in DEVICES for path in Path("/dev").glob(glob))
    driver = Path("/proc/driver/nvidia/version")
    return {
        "host": host_id(),
        "cpu": cpu_name(),
        "devices": devices,
        "driver": driver.read_text(errors="replace") if driver.is_file() else None,
        "torch": package_version("torch"),
        "asked": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(ASKED) and name != SET_BY_TORCH
        },
    }
