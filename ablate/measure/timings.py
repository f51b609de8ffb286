"""What processes timed, and the costs that follow: rounds that drifted go, each process counts once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ablate.measure.probe import Reading, steady_rounds
from ablate.result import Cost
from ablate.stats.ratios import FEWEST_PROCESSES, middle_over, ratio_over

Mode = Literal["train", "infer", "eager"]
MODES: tuple[Mode, ...] = ("train", "infer")
"""What is measured everywhere. Where that is recorded `eager` is there too: training steps that are not."""


@dataclass(frozen=True, slots=True)
class Entrant:
    """What one network gave in one process: images per second and the milliseconds of one image, by mode
    and round.
    """

    fingerprint: str
    speeds: Mapping[str, Sequence[float]]
    latencies_ms: Mapping[str, Sequence[float]]
    peak_memory_mib: float | None


@dataclass(frozen=True, slots=True)
class Timings:
    """What one process timed: the entrants in the same order in every process, the baseline's twin
    last; and by round what the machine did meanwhile.
    """

    device: str
    precision: str
    batch_size: int
    shared: bool
    entrants: Sequence[Entrant]
    readings: Sequence[Reading]
    clocks_mhz: Sequence[float | None]
    copied_gib: float


@dataclass(frozen=True, slots=True)
class _Counted:
    """The rounds that count, as (process, round); in how many processes, and how many rounds, the
    machine was steady; and how many rounds there were.
    """

    by_process: Sequence[Sequence[tuple[int, int]]]
    processes: int
    steady: int
    all: int

    @property
    def rounds(self) -> list[tuple[int, int]]:
        return [each for rounds in self.by_process for each in rounds]


def costs_of(
    timings: Sequence[Timings], baseline: str, protocol: Literal["quick", "full"]
) -> list[Cost]:
    """The costs of all networks, each in both modes."""
    counted = _count(timings)
    twin = len(timings[0].entrants) - 1
    names = [entrant.fingerprint for entrant in timings[0].entrants]
    return [
        cost
        for number in range(twin)
        for cost in _costs(timings, counted, number, twin, names.index(baseline), protocol)
    ]


def _count(timings: Sequence[Timings]) -> _Counted:
    """Which rounds count: the steady ones, or all where they are in too few processes for an interval."""
    steady = steady_rounds([each.readings for each in timings], shared=timings[0].shared)
    whole = [list(range(len(each.readings))) for each in timings]
    processes = sum(bool(rounds) for rounds in steady)
    chosen = steady if processes >= FEWEST_PROCESSES else whole
    by_process = [[(p, n) for n in rounds] for p, rounds in enumerate(chosen) if rounds]
    return _Counted(by_process, processes, sum(map(len, steady)), sum(map(len, whole)))


def _costs(
    timings: Sequence[Timings],
    counted: _Counted,
    number: int,
    twin: int,
    baseline: int,
    protocol: Literal["quick", "full"],
) -> Iterator[Cost]:
    """The costs of one entrant; the baseline's ratio is that of its twin."""
    above, first = twin if number == baseline else number, timings[0]
    own = [each.entrants[number] for each in timings]
    copies = [first.copied_gib / timings[p].readings[n].copy_seconds for p, n in counted.rounds]
    clocks = [mhz for p, n in counted.rounds if (mhz := timings[p].clocks_mhz[n]) is not None]
    memories = [each.peak_memory_mib for each in own if each.peak_memory_mib is not None]
    modes: tuple[Mode, ...] = (*MODES, *(("eager",) if "eager" in own[0].speeds else ()))
    for mode in modes:
        speeds = [own[p].speeds[mode][n] for p, n in counted.rounds]
        p10, p90 = np.percentile(speeds, (10, 90))
        ratio = ratio_over(
            [
                [
                    timings[p].entrants[above].speeds[mode][n]
                    / timings[p].entrants[baseline].speeds[mode][n]
                    for p, n in rounds
                ]
                for rounds in counted.by_process
            ]
        )
        # Where the steady rounds are in too few processes, all rounds are shown and no interval.
        told = counted.processes >= FEWEST_PROCESSES
        timed = mode in own[0].latencies_ms
        latencies_ms = [own[p].latencies_ms[mode][n] for p, n in counted.rounds if timed]
        yield Cost(
            fingerprint=own[0].fingerprint,
            device=first.device,
            precision=first.precision,
            mode=mode,
            batch_size=first.batch_size,
            images_per_second=middle_over(
                [[own[p].speeds[mode][n] for p, n in rounds] for rounds in counted.by_process]
            ),
            p10=float(p10),
            p90=float(p90),
            latency_ms=float(np.median(latencies_ms)) if timed else None,
            peak_memory_mib=max(memories, default=None) if mode == "train" else None,
            rounds=counted.steady,
            protocol=protocol,
            rounds_dropped=counted.all - counted.steady,
            baseline=first.entrants[baseline].fingerprint,
            baseline_ratio=ratio.ratio,
            ratio_low=ratio.low if told else None,
            ratio_high=ratio.high if told else None,
            copy_gib_per_second=float(np.median(copies)),
            clock_mhz=float(np.median(clocks)) if clocks else None,
            processes=counted.processes,
        )
