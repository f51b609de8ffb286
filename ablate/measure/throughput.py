"""Throughput by the clock, all variants interleaved so that a drifting clock hits all alike.

Quick protocol: every variant warms up; then in each round every variant has one block of training
steps and one of inference, the order of the variants reversed from round to round. What is stored
is the median over rounds with p10 and p90. On a CPU a variant has one thread, as in training.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ablate.measure.bench import Bench, Setting, Subject, make_bench
from ablate.result import Cost

ROUNDS = 9
WARM_UP_STEPS = 3
BUDGET_SECONDS = 16.0
LONGEST_BLOCK_SECONDS = 0.15
LATENCY_CALLS = 20


@dataclass(frozen=True, slots=True)
class Round:
    """A round is over: how far the measurement has come."""

    number: int
    of: int


@dataclass(frozen=True)
class Throughput:
    """A job: measure these subjects under one setting. Yields rounds, and at the end all costs."""

    subjects: tuple[Subject, ...]
    setting: Setting

    def __call__(self) -> Iterator[Round | Cost]:
        bench = make_bench(self.setting)
        share = BUDGET_SECONDS / (ROUNDS * 2 * len(self.subjects))
        seconds = min(share, LONGEST_BLOCK_SECONDS)
        blocks = [_Blocks(bench, subject, seconds) for subject in self.subjects]
        for number in range(ROUNDS):
            for block in blocks if number % 2 == 0 else reversed(blocks):
                block.round()
            yield Round(number + 1, ROUNDS)
        for block in blocks:
            yield from block.costs()


class _Blocks:
    """One subject's timed blocks."""

    def __init__(self, bench: Bench, subject: Subject, block_seconds: float) -> None:
        self._bench = bench
        self._subject = subject
        self._repeats: dict[str, int] = {}
        self._speeds: dict[str, list[float]] = defaultdict(list)
        before_mib = self._allocated_mib()
        self._trainer = bench.trainer(subject)
        self._warm_up(block_seconds)
        # What was there before belongs to the batch and to the other subjects.
        self._peak_memory_mib = None if before_mib is None else self._peak_mib() - before_mib

    def _warm_up(self, block_seconds: float) -> None:
        """Let caches and kernels settle, and find how many steps fill a block."""
        for mode, work in self._work().items():
            self._time(mode, work, WARM_UP_STEPS)
            once = self._time(mode, work, WARM_UP_STEPS) / WARM_UP_STEPS
            self._repeats[mode] = max(1, round(block_seconds / once))

    def _allocated_mib(self) -> float | None:
        """Memory in use on the device now, where a new peak begins; None for a CPU."""
        if self._bench.device.type != "cuda":
            return None
        torch.cuda.reset_peak_memory_stats(self._bench.device)
        return torch.cuda.memory_allocated(self._bench.device) / 2**20

    def _peak_mib(self) -> float:
        return torch.cuda.max_memory_allocated(self._bench.device) / 2**20

    def round(self) -> None:
        """One block of each mode."""
        for mode, work in self._work().items():
            repeats = self._repeats[mode]
            seconds = self._time(mode, work, repeats)
            self._speeds[mode].append(repeats * len(self._bench.batch[1]) / seconds)

    def costs(self) -> Iterator[Cost]:
        for mode in ("train", "infer"):
            p10, median, p90 = np.percentile(self._speeds[mode], (10, 50, 90))
            yield Cost(
                fingerprint=self._subject.fingerprint,
                device=self._bench.device_name,
                precision=self._bench.precision.name,
                mode=mode,
                batch_size=len(self._bench.batch[1]),
                images_per_second=float(median),
                p10=float(p10),
                p90=float(p90),
                latency_ms=self._latency_ms() if mode == "infer" else None,
                peak_memory_mib=self._peak_memory_mib if mode == "train" else None,
                rounds=ROUNDS,
                protocol="quick",
            )

    def _work(self) -> dict[str, Callable[[], object]]:
        trainer, batch = self._trainer, self._bench.batch
        return {"train": lambda: trainer.step(batch), "infer": lambda: trainer.infer(batch[0])}

    def _time(self, mode: str, work: Callable[[], object], repeats: int) -> float:
        """Seconds for that many calls; the device is waited for only before and after."""
        self._trainer.net.train(mode == "train")
        self._bench.synchronise()
        started = time.perf_counter()
        for _ in range(repeats):
            work()
        self._bench.synchronise()
        return time.perf_counter() - started

    def _latency_ms(self) -> float:
        """The median time of one image alone, from call to answer."""
        image = self._bench.batch[0][:1]
        calls = [
            self._time("infer", lambda: self._trainer.infer(image), repeats=1)
            for _ in range(LATENCY_CALLS)
        ]
        return 1000 * float(np.median(calls))
