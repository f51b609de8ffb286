"""`python -m benchmarks.calibrate_profile`: may the profiler be believed on this machine?

Two claims. Attention's share of a step by the profiler agrees with its share by difference, the step
with and without attention timed by turns, within 5 points. And a process that has profiled trains as
fast as before, within 3 %: the median over processes, each of which times, profiles and times again.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ablate.errors import AblateError
from ablate.execute.local import LocalExecutor
from ablate.measure.bench import Bench, Conditions, Network, make_bench
from ablate.measure.profile import QUIET, ProfileBench
from ablate.plan import make_plan
from ablate.report.cost.families import is_attention
from ablate.study import Study
from ablate.study.file import load_study
from benchmarks.ours import gather

STUDY = Path("studies/digits-grid.toml")
GRID = 'grid=[{attention="none"},{attention="se",position="pool*"},{attention="cbam",position="pool*"}]'
POINTS, DRIFT = 0.05, 0.03
PROFILES = 3
BLOCK_STEPS, SEGMENT_STEPS = 8, 80


@dataclass(frozen=True)
class Shares:
    """A job: attention's share of a step of each network after the first, which has none.

    Yields for each (name, share by the profiler, share by difference).
    """

    networks: tuple[Network, ...]
    conditions: Conditions
    rounds: int

    def __call__(self) -> Iterator[tuple[str, float, float]]:
        bench = make_bench(self.conditions)
        steps = [_steps(bench, network) for network in self.networks]
        seconds: list[list[float]] = [[] for _ in steps]
        for number in range(-1, self.rounds):
            order = range(len(steps))
            for i in order if number % 2 == 0 else reversed(order):
                took = bench.seconds(steps[i], BLOCK_STEPS)
                if number >= 0:  # the round before the first only warms up
                    seconds[i].append(took)
        profiles = ProfileBench(bench)
        for network, own in list(zip(self.networks, seconds, strict=True))[1:]:
            without = zip(seconds[0], own, strict=True)
            by_difference = statistics.median(1 - bare / full for bare, full in without)
            seen = [attention_share(profiles, network) for _ in range(PROFILES)]
            yield network.variant.name, statistics.median(seen), by_difference


@dataclass(frozen=True)
class BeforeAndAfter:
    """A job for a process of its own. Yields how fast it steps after a profile, as a ratio to before."""

    network: Network
    conditions: Conditions
    steps: int

    def __call__(self) -> Iterator[float]:
        bench = make_bench(self.conditions)
        step = _steps(bench, self.network)
        bench.seconds(step, self.steps)
        before = bench.seconds(step, self.steps)
        ProfileBench(bench).rows(self.network, "eager")
        yield before / bench.seconds(step, self.steps)


def _steps(bench: Bench, network: Network) -> Callable[[], object]:
    trainer = bench.trainer(network)
    trainer.net.train()
    return partial(trainer.step, bench.batch)


def attention_share(profiles: ProfileBench, network: Network) -> float:
    """Attention's share of one profiled step, forward and backward."""
    _, rows = profiles.rows(network, "eager")
    return sum(row.share for row in rows if row.module and is_attention(row.module))


def calibrate(study: Study, data: Path | None, device: str, rounds: int) -> bool:
    """Print both claims with their figures; whether both hold."""
    plan = make_plan(study, data)
    found = {cell.architecture.fingerprint: cell.variant for cell in plan.cells}
    networks = tuple(Network(variant, fingerprint) for fingerprint, variant in found.items())
    conditions = Conditions(study.recipe, plan.dataset, device)
    good: bool = True
    for name, seen, real in _alone(Shares(networks, conditions, rounds)):
        good &= bool(abs(seen - real) <= POINTS)
        print(
            f"{name}: attention takes {seen:.1%} of a step by the profiler, {real:.1%} by difference"
        )
    ratios = [
        _alone(BeforeAndAfter(networks[-1], conditions, SEGMENT_STEPS))[0] for _ in range(rounds)
    ]
    middle = statistics.median(ratios)
    low, high = min(ratios), max(ratios)
    print(f"steps after a profile: {middle:.3f}× as fast as before ({low:.3f} to {high:.3f})")
    good &= bool(abs(middle - 1) <= DRIFT)
    print(
        f"{'holds' if good else 'DOES NOT HOLD'}: within {POINTS:.0%} of a step, within {DRIFT:.0%}"
    )
    return good


def _alone(job: Any) -> list[Any]:
    """What a job yields in a process of its own."""
    os.environ.update({**QUIET, **os.environ})
    with LocalExecutor(1) as executor:
        return list(gather(executor, [job]))


def main(arguments: Sequence[str]) -> int:
    """0 if both claims hold, 1 if not, 2 for what the user must change."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibrate_profile")
    parser.add_argument("--data", type=Path, help="a folder or archive of images, else the digits")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args(arguments)
    try:
        study = load_study(STUDY, [GRID])
        return 0 if calibrate(study, asked.data, asked.device, asked.rounds) else 1
    except AblateError as error:
        print(f"calibrate_profile: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
