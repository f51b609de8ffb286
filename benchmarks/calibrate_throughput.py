"""`python -m benchmarks.calibrate_throughput`: does the noise floor cover what it promises?

The full protocol measures the baseline under two names, again and again, each time in fresh processes.
Its 95 % intervals, two in each of 26 repeats, must contain 1.00 in at least 47 of 52. With a true coverage
of 95 % that fails in 4 % of tries, with one of 85 % it passes in 19 % (17 of 20 would pass in 65 %), with
the half that an interval over the rounds of one process may have, never. One repeat takes about four
minutes, all of them an hour and three quarters.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ablate.drive.costs import baseline_of, run_throughput
from ablate.errors import AblateError
from ablate.measure.bench import Conditions
from ablate.measure.throughput import (
    FULL_BLOCK_SECONDS,
    FULL_PROCESSES,
    FULL_ROUNDS,
    Throughput,
    full,
)
from ablate.measure.timings import MODES
from ablate.plan import make_plan
from ablate.result import Cost
from ablate.study.file import load_study
from ablate.system.messages.text import duration

STUDY = Path(__file__).parent.parent / "studies" / "digits-grid.toml"
REPEATS = 26
SHARE = 47 / 52


def main(arguments: Sequence[str]) -> int:
    """Repeat the A/A check; 1 if too few intervals contain 1.00."""
    asked = _parser().parse_args(arguments)
    try:
        plan = make_plan(load_study(asked.study, []))
        baseline = baseline_of(plan)
        job = Throughput(
            (),
            baseline,
            Conditions(plan.study.recipe, plan.dataset, asked.device),
            full(asked.processes, asked.rounds, asked.block_seconds),
        )
        held = dict.fromkeys(MODES, 0)
        for number in range(asked.repeats):
            started = time.monotonic()
            for cost in run_throughput(job, Console(quiet=True)):
                held[cost.mode] += _contains_one(cost)
                print(f"{number + 1} of {asked.repeats}, {_told(cost)}", flush=True)
            left = (time.monotonic() - started) * (asked.repeats - number - 1)
            print(f"  {duration(left)} left", flush=True)
    except AblateError as error:
        print(f"calibrate: {error}", file=sys.stderr)
        return 2
    told = ", ".join(f"{mode} {count} of {asked.repeats}" for mode, count in held.items())
    of, fewest = asked.repeats * len(held), fewest_holding(asked.repeats * len(held))
    print(f"{sum(held.values())} of {of} intervals contain 1.00 ({told}); {fewest} are needed")
    return 0 if sum(held.values()) >= fewest else 1


def fewest_holding(intervals: int) -> int:
    """How many of so many intervals must contain 1.00: 47 of 52."""
    return math.ceil(SHARE * intervals)


def _contains_one(cost: Cost) -> bool:
    return (
        cost.ratio_low is not None
        and cost.ratio_high is not None
        and cost.ratio_low <= 1 <= cost.ratio_high
    )


def _told(cost: Cost) -> str:
    interval = (
        "no interval"
        if cost.ratio_low is None or cost.ratio_high is None
        else f"{cost.ratio_low:.4f} to {cost.ratio_high:.4f}"
    )
    return (
        f"{cost.mode}: {cost.images_per_second:,.0f} images/s, twin {cost.baseline_ratio:.4f}× "
        f"({interval}), {cost.rounds_dropped} rounds dropped"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.calibrate_throughput")
    parser.add_argument("--study", type=Path, default=STUDY)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--processes", type=int, default=FULL_PROCESSES)
    parser.add_argument("--rounds", type=int, default=FULL_ROUNDS)
    parser.add_argument("--block-seconds", type=float, default=FULL_BLOCK_SECONDS)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
