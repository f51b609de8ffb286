"""`python -m benchmarks.calibrate_throughput`: does the noise floor cover what it promises?

The full protocol measures the baseline under two names, again and again, each time in a new process.
Its 95 % interval must contain 1.00 in at least 17 of 20 repeats: with a true coverage of 95 % that
fails once in 60 times for each mode. One repeat takes about 75 seconds, all of them 25 minutes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ablate.drive.costs import baseline_of, run_throughput
from ablate.errors import AblateError
from ablate.measure.bench import Conditions
from ablate.measure.throughput import FULL_BLOCK_SECONDS, MODES, ROUNDS, Throughput, full
from ablate.plan import make_plan
from ablate.result import Cost
from ablate.study.file import load_study
from ablate.system.text import duration

STUDY = Path(__file__).parent.parent / "studies" / "digits-grid.toml"
REPEATS = 20
SHARE = 0.85
"""17 of 20."""


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
            full(asked.rounds, asked.block_seconds),
        )
        held = dict.fromkeys(MODES, 0)
        for number in range(asked.repeats):
            started = time.monotonic()
            for cost in run_throughput(job, lambda _done, _of: None):
                held[cost.mode] += _contains_one(cost)
                print(f"{number + 1} of {asked.repeats}, {_told(cost)}", flush=True)
            left = (time.monotonic() - started) * (asked.repeats - number - 1)
            print(f"  {duration(left)} left", flush=True)
    except AblateError as error:
        print(f"calibrate: {error}", file=sys.stderr)
        return 2
    for mode, count in held.items():
        print(f"{mode}: {count} of {asked.repeats} intervals contain 1.00")
    return 0 if min(held.values()) >= SHARE * asked.repeats else 1


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
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--block-seconds", type=float, default=FULL_BLOCK_SECONDS)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
