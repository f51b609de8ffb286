"""A worker for each GPU: two devices are pretended by the variable that says which one a process sees."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from test_execute import collect

from ablate.execute.base import Died
from ablate.execute.local import LocalExecutor
from ablate.system.hardware.gpus import VISIBLE

HAD_TORCH = "torch" in sys.modules
"""In a worker: whether torch was there when this module came with the first job."""


@dataclass(frozen=True)
class Seen:
    """A job that says which GPU its process sees, whether torch came first, and which process it is."""

    dies: bool = False

    def __call__(self) -> Iterator[tuple[str | None, bool, int]]:
        yield os.environ.get(VISIBLE), HAD_TORCH, os.getpid()
        if self.dies:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Together:
    """A job that ends when another one is there as well, and says on which GPU it was."""

    name: str
    folder: str

    def __call__(self) -> Iterator[str]:
        (Path(self.folder) / f"{self.name}.here").touch()
        for _ in range(600):
            if len(list(Path(self.folder).glob("*.here"))) == 2:
                yield f"{self.name} on {os.environ.get(VISIBLE)}"
                return
            time.sleep(0.1)


def run_all(executor: LocalExecutor, *jobs: Seen) -> list[tuple[str | None, bool, int]]:
    """What each of them said, in the order in which they were submitted, side by side."""
    for number, job in enumerate(jobs):
        executor.submit(str(number), job)
    events = sorted(
        (int(job_id), event) for job_id, event in collect(executor) if isinstance(event, tuple)
    )
    return [event for _, event in events]


def test_each_worker_sees_one_gpu_before_torch_is_loaded() -> None:
    before = os.environ.get(VISIBLE)
    with LocalExecutor(2, gpus=("GPU-a", "GPU-b")) as executor:
        seen = run_all(executor, Seen(), Seen())
        again = run_all(executor, Seen(), Seen())
    assert [(gpu, had_torch) for gpu, had_torch, _ in seen] == [("GPU-a", False), ("GPU-b", False)]
    assert again == seen, "the same processes, on the same devices"
    assert os.environ.get(VISIBLE) == before


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_dead_worker_is_replaced_on_the_same_gpu(lost: int) -> None:
    with LocalExecutor(2, gpus=("0", "1")) as executor:
        first = [
            gpu for gpu, _, _ in run_all(executor, *(Seen(dies=each == lost) for each in (0, 1)))
        ]
        second = run_all(executor, Seen(), Seen())
    assert sorted(first) == sorted(gpu for gpu, _, _ in second) == ["0", "1"]


def test_a_lost_process_is_told_of_its_own_job_alone() -> None:
    with LocalExecutor(2, gpus=("0", "1")) as executor:
        executor.submit("dies", Seen(dies=True))
        executor.submit("lives", Seen())
        ends = {
            job_id: event for job_id, event in collect(executor) if not isinstance(event, tuple)
        }
    assert ends["dies"] == Died(-signal.SIGKILL)
    assert not isinstance(ends["lives"], Died)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "gpus", "expected"),
    [
        (1, ("0", "1"), ["0"]),
        (3, ("0", "1"), ["0", "1", "0"]),
    ],
)
def test_workers_take_gpus_in_turn(
    workers: int, gpus: tuple[str, ...], expected: list[str]
) -> None:
    with LocalExecutor(workers, gpus) as executor:
        assert [gpu for gpu, _, _ in run_all(executor, *[Seen()] * workers)] == expected


@pytest.mark.parametrize("gpus", [(), ("7",)])
def test_without_several_gpus_a_worker_sees_what_its_driver_sees(
    gpus: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VISIBLE, "5")
    with LocalExecutor(1, gpus) as executor:
        assert run_all(executor, Seen())[0][0] == "5"
