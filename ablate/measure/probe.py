"""What the machine itself does while others are timed: a fixed product, a fixed copy, its clock.

A round during which the machine was faster or slower than usual (a neighbour, a hot chip) says
nothing about the networks; such rounds are dropped, and counted.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import psutil
import torch

from ablate.measure.bench import Bench

TIMINGS = 5
TIMING_SECONDS = 0.003
PRODUCT_SIDE = {"cpu": 256, "cuda": 2048}
COPY_MIB = {"cpu": 64, "cuda": 256}
"""More than the caches hold, so that it is the memory's bandwidth."""

TOLERANCE = 0.03
ROBUST_SDS = 3.0
MAD_TO_SD = 1.4826
"""The standard deviation of normal numbers is that many median absolute deviations."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The machine at one moment: seconds of one product and of one copy."""

    product_seconds: float
    copy_seconds: float


class Probe:
    """A fixed piece of work on a device, ready to be timed again and again."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        kind, device = bench.device.type, bench.device
        left, right = torch.ones(2, PRODUCT_SIDE[kind], PRODUCT_SIDE[kind], device=device)
        source = torch.ones(COPY_MIB[kind] * 2**20, dtype=torch.uint8, device=device)
        product, target = torch.empty_like(left), torch.empty_like(source)
        self._works: tuple[Callable[[], object], ...] = (
            lambda: torch.mm(left, right, out=product),
            lambda: target.copy_(source),
        )
        self._repeats = [self._fitting(work) for work in self._works]
        self.copied_gib = source.numel() / 2**30

    def __call__(self) -> Reading:
        """The median of a few timings, 30 ms in all."""
        seconds = []
        for work, repeats in zip(self._works, self._repeats, strict=True):
            timings = [self._bench.seconds(work, repeats) / repeats for _ in range(TIMINGS)]
            seconds.append(float(np.median(timings)))
        return Reading(*seconds)

    def _fitting(self, work: Callable[[], object]) -> int:
        self._bench.seconds(work, TIMINGS)  # memory is touched, libraries are loaded
        once = self._bench.seconds(work, TIMINGS) / TIMINGS
        return max(1, round(TIMING_SECONDS / once))


def between(before: Reading, after: Reading) -> Reading:
    """One reading for a round, from those at its two ends."""
    return Reading(
        math.sqrt(before.product_seconds * after.product_seconds),
        math.sqrt(before.copy_seconds * after.copy_seconds),
    )


def steady_rounds(processes: Sequence[Sequence[Reading]], *, shared: bool) -> list[list[int]]:
    """The numbers of the rounds, by process, in which neither product nor copy drifted from the median
    of their process.

    Drifted is more than 3 %. On a machine whose cores others share (`shared`) that would be nearly
    every round: there it must be more than three robust standard deviations as well.
    """
    products = _steady(
        [[each.product_seconds for each in process] for process in processes], shared
    )
    copies = _steady([[each.copy_seconds for each in process] for process in processes], shared)
    return [
        [number for number, (a, b) in enumerate(zip(*both, strict=True)) if a and b]
        for both in zip(products, copies, strict=True)
    ]


def _steady(processes: Sequence[Sequence[float]], shared: bool) -> list[list[bool]]:
    logs = [np.log(seconds) for seconds in processes]
    off = [np.abs(each - np.median(each)) for each in logs]
    limit = math.log1p(TOLERANCE)
    if shared:
        # The middle one of an odd number is its own median: of few rounds it would halve the spread.
        moved = [each for process in off for each in sorted(process)[len(process) % 2 :]]
        limit = max(limit, ROBUST_SDS * MAD_TO_SD * float(np.median(moved or [0.0])))
    return [[bool(each <= limit) for each in process] for process in off]


def clock_mhz(device: torch.device) -> float | None:
    """The clock of the device now; None where the system does not tell."""
    if device.type == "cuda":
        return _gpu_clock_mhz(device)
    try:
        frequency = psutil.cpu_freq()
    except (OSError, NotImplementedError):
        return None
    return float(frequency.current) if frequency and frequency.current else None


def _gpu_clock_mhz(device: torch.device) -> float | None:
    card = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    query = ["nvidia-smi", "-i", card, "--query-gpu=clocks.sm", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
        return float(done.stdout.strip())
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
