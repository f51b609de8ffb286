"""Throughput by the clock, all variants interleaved so that a drifting clock hits all alike.

In each of several processes every variant warms up; then in each round every variant has one block of
training steps and one of inference, the order of the variants reversed from round to round. The baseline
takes part under two names: how far its two measurements lie apart is the noise floor. A process builds
everything anew and in an order of its own, because what it keeps, like where its memory lies, makes a
variant faster or slower in all its rounds. On a CPU a variant has one thread, as in training.

On a GPU steps and inference are recorded (`ablate.train.graphs`) and the recording is timed: at these batches
an eager step is a few milliseconds of Python around a fraction of one of work, and its time
says how many operators a network calls. What a loop that records nothing pays is timed beside it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ablate.measure.bench import Bench, Conditions, Network, make_bench
from ablate.measure.probe import Probe, Reading, between, clock_mhz
from ablate.measure.timings import MODES, Entrant, Timings
from ablate.result import Started
from ablate.system.hardware.device_errors import CaptureError, ProcessSpentError

FULL_PROCESSES = 8
"""Of 10 variants each that differs by 5 % is seen where processes lie 2.7 % apart; with 3 processes,
where they lie 0.5 % apart (`smallest_detectable`)."""
FULL_ROUNDS = 3
"""In each process: of two that differ, none could be told to be the one that drifted."""
FULL_BLOCK_SECONDS = 2.0

QUICK_PROCESSES = 4
"""A start takes as long as a round: more would take longer than all blocks."""
QUICK_ROUNDS = 3
QUICK_SECONDS = 12.0
LONGEST_QUICK_BLOCK_SECONDS = 0.15

WARM_UP_STEPS = 2
LATENCY_CALLS = 5
ALONE = {"alone": "infer", "eager alone": "eager"}
"""What is done with one image, and under which mode its latency stands."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """In how many processes, how often in each and how long everything is timed."""

    name: Literal["quick", "full"]
    processes: int
    rounds: int
    block_seconds: float

    def seconds(self, networks: int) -> float:
        """What all blocks take together; the baseline has two names."""
        blocks = (networks + 1) * self.processes * self.rounds * len(MODES)
        return blocks * self.block_seconds


def quick(networks: int) -> Protocol:
    """What follows training: blocks as long as the number of networks allows."""
    blocks = (networks + 1) * QUICK_PROCESSES * QUICK_ROUNDS * len(MODES)
    longest = min(QUICK_SECONDS / blocks, LONGEST_QUICK_BLOCK_SECONDS)
    return Protocol("quick", QUICK_PROCESSES, QUICK_ROUNDS, longest)


def full(
    processes: int = FULL_PROCESSES,
    rounds: int = FULL_ROUNDS,
    block_seconds: float = FULL_BLOCK_SECONDS,
) -> Protocol:
    """What `ablate measure` does."""
    return Protocol("full", processes, rounds, block_seconds)


@dataclass(frozen=True, slots=True)
class Turn:
    """A variant has warmed up or had its blocks of a round: how far a process has come."""

    number: int
    of: int


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """A network cannot be recorded, so none can be measured so that they compare; the job is over."""

    reason: str


@dataclass(frozen=True)
class Throughput:
    """A job: one process's part of measuring these networks beside their baseline. Yields where it is
    measured, then turns, and at the end the timings; or what it is that cannot be recorded.

    The baseline is measured whether it is one of the networks or not.

    Raises:
        ProcessSpentError: after a network that cannot be recorded.
    """

    networks: tuple[Network, ...]
    baseline: Network
    conditions: Conditions
    protocol: Protocol
    process: int = 0

    def __call__(self) -> Iterator[Started | Turn | Timings | Unrecorded]:
        try:
            yield from self._measure()
        except CaptureError as error:
            yield Unrecorded(str(error))
            raise ProcessSpentError from error

    def _measure(self) -> Iterator[Started | Turn | Timings]:
        bench = make_bench(self.conditions, self.everyone)
        yield Started(bench.environment)
        entrants, rounds = [*self.everyone, self.baseline], self.protocol.rounds
        order = self._order()
        timed, turn = dict[int, _Timed](), 0
        for number in order:
            timed[number] = _Timed(bench, entrants[number], self.protocol.block_seconds)
            yield Turn(turn := turn + 1, len(order) * (rounds + 1))
        probe, readings, clocks = Probe(bench), list[Reading](), list[float | None]()
        for count in range(rounds):
            before = probe()
            for number in order if count % 2 == 0 else reversed(order):
                timed[number].round()
                yield Turn(turn := turn + 1, len(order) * (rounds + 1))
            clocks.append(clock_mhz(bench.device))
            readings.append(between(before, probe()))
        bench.check_code()
        told = [timed[number].told for number in range(len(entrants))]
        yield _timings(bench, told, readings, clocks, probe.copied_gib)

    @property
    def everyone(self) -> tuple[Network, ...]:
        """The networks, with the baseline before them if it is none of them."""
        return with_baseline(self.networks, self.baseline)

    def _order(self) -> list[int]:
        """In which order this process builds and times its entrants: each has one of its own, or a
        network would always lie behind the same others in memory, and follow the same one in time.
        """
        numbers = np.random.default_rng(self.process).permutation(len(self.everyone) + 1)
        return [int(number) for number in numbers]


def with_baseline(networks: tuple[Network, ...], baseline: Network) -> tuple[Network, ...]:
    """The networks, with the baseline before them if it is none of them."""
    return networks if baseline in networks else (baseline, *networks)


class _Timed:
    """One network under one name, and what its blocks gave, a list entry for each round.

    Every round has a fresh copy of the network: after thousands of steps on one batch the gradients
    would be too small for a CPU to handle at full speed, and a network's place in memory, which
    makes it faster or slower too, is drawn anew.
    """

    def __init__(self, bench: Bench, network: Network, block_seconds: float) -> None:
        self.network = network
        self.speeds: dict[str, list[float]] = defaultdict(list)
        self.latencies_ms: dict[str, list[float]] = defaultdict(list)
        self._bench, self._net = bench, bench.build(network)
        self._repeats = self._warm_up(block_seconds)
        self.peak_memory_mib = self._peak_memory_mib()

    @property
    def told(self) -> Entrant:
        """What it gave, to be sent to another process."""
        speeds = dict(self.speeds)
        latencies_ms = dict(self.latencies_ms)
        return Entrant(self.network.fingerprint, speeds, latencies_ms, self.peak_memory_mib)

    def round(self) -> None:
        """One block of each mode, and a few images alone."""
        images = len(self._bench.batch[1])
        for mode, work in self._works():
            self._bench.seconds(work, 1)
            if mode in ALONE:
                calls = [self._bench.seconds(work, 1) for _ in range(LATENCY_CALLS)]
                self.latencies_ms[ALONE[mode]].append(1000 * float(np.median(calls)))
            else:
                repeats = self._repeats[mode]
                self.speeds[mode].append(images * repeats / self._bench.seconds(work, repeats))

    def _warm_up(self, block_seconds: float) -> dict[str, int]:
        """Let caches and kernels settle, and find how many steps fill a block."""
        repeats = {}
        for mode, work in self._works():
            self._bench.seconds(work, WARM_UP_STEPS)
            once = self._bench.seconds(work, WARM_UP_STEPS) / WARM_UP_STEPS
            repeats[mode] = max(1, round(block_seconds / once))
        return repeats

    def _works(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """A training step, inference of the batch, and of one image alone, all of one fresh copy; what is
        recorded is eager as well.
        """
        trainer, batch, device = (
            self._bench.trainer_of(self._net),
            self._bench.batch,
            self._bench.device,
        )
        record, one = self._bench.record, batch[0][:1].clone()
        trainer.train()
        step: Callable[[], object] = lambda: trainer.step(batch)  # noqa: E731
        yield "train", step if record is None else record(device, step)
        if record is not None:
            yield "eager", step
        trainer.net.eval()
        whole: Callable[[], object] = lambda: trainer.infer(batch[0])  # noqa: E731
        yield "infer", whole if record is None else record(device, whole)
        alone: Callable[[], object] = lambda: trainer.infer(one)  # noqa: E731
        yield "alone", alone if record is None else record(device, alone)
        if record is not None:
            yield "eager alone", alone

    def _peak_memory_mib(self) -> float | None:
        """What training holds on the device, its weights included; the kernels are chosen already."""
        before = self._bench.peak_memory_mib(anew=True)
        if before is None:
            return None
        _, step = next(self._works())
        self._bench.seconds(step, 2)
        return (self._bench.peak_memory_mib() or before) - before


def _timings(
    bench: Bench,
    entrants: list[Entrant],
    readings: list[Reading],
    clocks: list[float | None],
    copied_gib: float,
) -> Timings:
    return Timings(
        device=bench.machine.name,
        precision=bench.machine.precision.name,
        batch_size=len(bench.batch[1]),
        shared=bench.device.type == "cpu",
        entrants=entrants,
        readings=readings,
        clocks_mhz=clocks,
        copied_gib=copied_gib,
    )
