"""Throughput by the clock, all variants interleaved so that a drifting clock hits all alike.

Every variant warms up; then in each round every variant has one block of training steps and one of
inference, the order of the variants reversed from round to round. The baseline takes part under two
names: how far its two measurements lie apart is the noise floor. Rounds in which the machine itself
drifted are dropped and counted. On a CPU a variant has one thread, as in training.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ablate.measure.bench import Bench, Conditions, Network, make_bench
from ablate.measure.probe import Probe, Reading, between, clock_mhz, steady_rounds
from ablate.result import Cost, Started

ROUNDS = 9
FEWEST_ROUNDS = 5
"""With fewer that are left a ratio has no interval."""
FULL_BLOCK_SECONDS = 2.0

QUICK_SECONDS = 16.0
LONGEST_QUICK_BLOCK_SECONDS = 0.15

WARM_UP_STEPS = 3
LATENCY_CALLS = 5

MODES: tuple[Literal["train", "infer"], ...] = ("train", "infer")


@dataclass(frozen=True, slots=True)
class Protocol:
    """How long and how often everything is timed."""

    name: Literal["quick", "full"]
    rounds: int
    block_seconds: float

    def seconds(self, networks: int) -> float:
        """What all blocks take together; the baseline has two names."""
        return (networks + 1) * self.rounds * len(MODES) * self.block_seconds


def quick(networks: int) -> Protocol:
    """What follows training: blocks as long as the number of networks allows."""
    share = QUICK_SECONDS / (ROUNDS * len(MODES) * (networks + 1))
    return Protocol("quick", ROUNDS, min(share, LONGEST_QUICK_BLOCK_SECONDS))


def full(rounds: int = ROUNDS, block_seconds: float = FULL_BLOCK_SECONDS) -> Protocol:
    """What `ablate measure` does."""
    return Protocol("full", rounds, block_seconds)


@dataclass(frozen=True, slots=True)
class Turn:
    """A variant has had its blocks of a round: how far the measurement has come."""

    number: int
    of: int


@dataclass(frozen=True)
class Throughput:
    """A job: measure these networks beside their baseline. Yields where it is measured, then turns, and
    at the end all costs.

    The baseline is measured whether it is one of the networks or not.
    """

    networks: tuple[Network, ...]
    baseline: Network
    conditions: Conditions
    protocol: Protocol

    def __call__(self) -> Iterator[Started | Turn | Cost]:
        bench = make_bench(self.conditions, self.everyone)
        yield Started(bench.environment)
        protocol = self.protocol
        timed = [_Timed(bench, network, protocol.block_seconds) for network in self.everyone]
        twin = _Timed(bench, self.baseline, protocol.block_seconds)
        entrants, probe = [*timed, twin], Probe(bench)
        readings, clocks = list[Reading](), list[float | None]()
        for number in range(protocol.rounds):
            before = probe()
            for turn, each in enumerate(entrants if number % 2 == 0 else reversed(entrants)):
                each.round()
                yield Turn(number * len(entrants) + turn + 1, protocol.rounds * len(entrants))
            clocks.append(clock_mhz(bench.device))
            readings.append(between(before, probe()))
        bench.check_code()
        rounds = _judge(bench, readings, clocks, probe.copied_gib)
        baseline = next(each for each in timed if each.network == self.baseline)
        for each in timed:
            against = (twin, baseline) if each is baseline else (each, baseline)
            yield from _costs(bench, protocol, each, against, rounds)

    @property
    def everyone(self) -> tuple[Network, ...]:
        """The networks, with the baseline before them if it is none of them."""
        return with_baseline(self.networks, self.baseline)


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
        self.latencies_ms: list[float] = []
        self._bench, self._net = bench, bench.build(network)
        self._repeats = self._warm_up(block_seconds)
        self.peak_memory_mib = self._peak_memory_mib()

    def round(self) -> None:
        """One block of each mode, and a few images alone."""
        images = len(self._bench.batch[1])
        for mode, work in self._works():
            self._bench.seconds(work, 1)
            if mode == "alone":
                calls = [self._bench.seconds(work, 1) for _ in range(LATENCY_CALLS)]
                self.latencies_ms.append(1000 * float(np.median(calls)))
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
        """A training step, inference of the batch, and of one image alone, all of one fresh copy."""
        trainer, batch = self._bench.trainer_of(self._net), self._bench.batch
        trainer.net.train()
        yield "train", lambda: trainer.step(batch)
        trainer.net.eval()
        yield "infer", lambda: trainer.infer(batch[0])
        yield "alone", lambda: trainer.infer(batch[0][:1])

    def _peak_memory_mib(self) -> float | None:
        """What training holds on the device, its weights included; the kernels are chosen already."""
        before = self._bench.peak_memory_mib(anew=True)
        if before is None:
            return None
        _, step = next(self._works())
        self._bench.seconds(step, 2)
        return (self._bench.peak_memory_mib() or before) - before


@dataclass(frozen=True, slots=True)
class _Rounds:
    """The rounds that count, how many were dropped, and what the machine did in the former."""

    kept: Sequence[int]
    dropped: int
    copy_gib_per_second: float
    clock_mhz: float | None


def _judge(
    bench: Bench, readings: Sequence[Reading], clocks: Sequence[float | None], copied_gib: float
) -> _Rounds:
    kept = steady_rounds(readings, shared=bench.device.type == "cpu")
    dropped = len(readings) - len(kept)
    # Too few are left to say anything: all of them are shown, and no interval.
    kept = kept if len(kept) >= FEWEST_ROUNDS else list(range(len(readings)))
    told = [clock for clock in (clocks[number] for number in kept) if clock is not None]
    seconds = float(np.median([readings[number].copy_seconds for number in kept]))
    return _Rounds(kept, dropped, copied_gib / seconds, float(np.median(told)) if told else None)


def _costs(
    bench: Bench,
    protocol: Protocol,
    timed: _Timed,
    against: tuple[_Timed, _Timed],
    rounds: _Rounds,
) -> Iterator[Cost]:
    """The costs of one network; `against` are the two whose speeds make its ratio."""
    for mode in MODES:
        p10, median, p90 = np.percentile([timed.speeds[mode][n] for n in rounds.kept], (10, 50, 90))
        above, below = ([each.speeds[mode][n] for n in rounds.kept] for each in against)
        steady = protocol.rounds - rounds.dropped
        ratio, low, high = ratio_of(above, below, told=steady >= FEWEST_ROUNDS)
        latency_ms = float(np.median([timed.latencies_ms[n] for n in rounds.kept]))
        yield Cost(
            fingerprint=timed.network.fingerprint,
            device=bench.machine.name,
            precision=bench.machine.precision.name,
            mode=mode,
            batch_size=len(bench.batch[1]),
            images_per_second=float(median),
            p10=float(p10),
            p90=float(p90),
            latency_ms=latency_ms if mode == "infer" else None,
            peak_memory_mib=timed.peak_memory_mib if mode == "train" else None,
            rounds=steady,
            protocol=protocol.name,
            rounds_dropped=rounds.dropped,
            baseline=against[1].network.fingerprint,
            baseline_ratio=ratio,
            ratio_low=low,
            ratio_high=high,
            copy_gib_per_second=rounds.copy_gib_per_second,
            clock_mhz=rounds.clock_mhz,
        )


def ratio_of(
    values: Sequence[float], others: Sequence[float], *, told: bool = True
) -> tuple[float, float | None, float | None]:
    """How many times `values` are as large as `others`: the geometric mean over rounds with its 95 %
    interval, which is Student's t on the logarithm; no interval unless `told`.
    """
    from ablate.stats import interval

    found = interval([math.log(a / b) for a, b in zip(values, others, strict=True)])
    if not told or found.low is None or found.high is None:
        return math.exp(found.mean), None, None
    return math.exp(found.mean), math.exp(found.low), math.exp(found.high)
