from __future__ import annotations

import pytest

from ablate.system.hardware.gpus import gpus_of_a_kind
from ablate.system.hardware.known_machine import KnownMachine

H100, A100 = "NVIDIA H100", "NVIDIA A100"


@pytest.mark.parametrize(
    ("kinds", "visible", "expected"),
    [
        ([], None, ()),
        ([H100], None, ("0",)),
        ([H100, H100], None, ("0", "1")),
        ([H100, A100, H100], None, ("0", "2")),
        ([H100, H100], "3,5", ("3", "5")),
        ([H100, A100], "GPU-x, GPU-y", ("GPU-x",)),
        ([H100], "2,-1,3", ("2",)),
    ],
)
def test_gpus_are_called_as_cuda_calls_them(
    kinds: list[str], visible: str | None, expected: tuple[str, ...]
) -> None:
    assert gpus_of_a_kind(kinds, visible) == expected


@pytest.mark.parametrize(
    ("device", "gpus", "workers"), [("cpu", 0, 6), ("cuda", 1, 1), ("cuda", 8, 8)]
)
def test_each_gpu_has_a_worker(device: str, gpus: int, workers: int) -> None:
    assert KnownMachine(device, "a machine", "fp32", cores=6, gpus=gpus).workers == workers
