"""`python -m benchmarks.calibrate`, which is `make calibrate`: may verdicts and intervals be believed?

Every calibration in turn, each in a process of its own: one that fails stops no other. Which one is under
way and how long all will still take is said as it begins, what each has found stands together at the end.
`--share 0.01` (`make calibrate SHARE=0.01`) takes a hundredth of the studies, repeats and rounds of each,
or the fewest that it can: it shows that everything runs, and its figures decide nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.system.messages.text import duration


@dataclass(frozen=True)
class Part:
    """One calibration: the option that says how much of it, how much is all and how little is possible, what
    a short one takes besides, and about how many minutes all of it is on two quiet cores.
    """

    module: str
    option: str
    full: int
    fewest: int
    minutes: float
    short: tuple[str, ...] = ()

    def command(self, share: float) -> list[str]:
        """What runs this share of it."""
        count = max(self.fewest, round(share * self.full))
        besides = self.short if share < 1 else ()
        return [f"benchmarks.{self.module}", self.option, str(count), *besides]


PARTS = (
    Part("calibrate_verdicts", "--studies", 2000, 20, 8),
    Part("other_worlds", "--studies", 1000, 20, 10),
    Part("calibrate_designs", "--studies", 400, 20, 15),
    Part("calibrate_until_decided", "--studies", 2000, 20, 3),
    Part("calibrate_folds", "--studies", 400, 20, 4),
    Part("calibrate_imports", "--studies", 1000, 20, 4),
    Part("calibrate_trainings", "--sets", 20, 1, 20),
    Part("calibrate_search", "--repeats", 50, 2, 15, ("--no-kills",)),
    Part("calibrate_profile", "--rounds", 9, 1, 10),
    Part(
        *("calibrate_throughput", "--repeats", 26, 1, 105),
        ("--rounds", "1", "--block-seconds", "0.05"),
    ),
)


@dataclass(frozen=True)
class Result:
    """What a part printed, how it ended and what it took; a `short` one decides nothing."""

    part: Part
    output: str
    code: int
    seconds: float
    short: bool

    @property
    def told(self) -> str:
        """One line of the end."""
        ends = {0: "runs", 1: "runs"} if self.short else {0: "holds", 1: "DOES NOT HOLD"}
        ended = ends.get(self.code, f"ended with {self.code}")
        return f"{self.part.module}: {ended}, in {duration(self.seconds)}"


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; 1 if something does not hold, 2 if something did not run."""
    asked = _parser().parse_args(arguments)
    parts = [part for part in PARTS if asked.only in (None, part.module)]
    results: list[Result] = []
    for number, part in enumerate(parts, 1):
        minutes = _left(parts[number - 1 :], results, asked.share)
        left = duration(60 * minutes)
        print(f"… {number} of {len(parts)}: {part.module}, about {left} left in all", flush=True)
        results.append(run(part, asked.share))
    for result in results:
        print(f"\n── {result.told}\n{result.output.rstrip()}")
    print(f"\n{'; '.join(result.told for result in results)}")
    if asked.share < 1:
        print(f"{asked.share:g} of the whole: this shows that it runs, and decides nothing")
    return exit_code(results)


def exit_code(results: Sequence[Result]) -> int:
    """2 if something did not run to its end, 1 if something does not hold, of a short one 0."""
    if any(result.code not in (0, 1) for result in results):
        return 2
    return int(any(result.code for result in results if not result.short))


def run(part: Part, share: float) -> Result:
    """Show what a part prints while it prints it, and keep it."""
    started, lines = time.monotonic(), []
    command = [sys.executable, "-u", "-m", *part.command(share)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(f"  {line}", end="", flush=True)
            lines.append(line)
    kept = "".join(line for line in lines if not line.rstrip().endswith(" left"))
    return Result(part, kept, process.returncode, time.monotonic() - started, share < 1)


def _left(parts: Sequence[Part], done: Sequence[Result], share: float) -> float:
    """Minutes that these parts take, by what the ones before took beside what they take elsewhere."""
    usual = sum(_minutes(result.part, share) for result in done)
    slower = sum(result.seconds for result in done) / 60 / usual if usual else 1.0
    return slower * sum(_minutes(part, share) for part in parts)


def _minutes(part: Part, share: float) -> float:
    return max(0.2, part.minutes * max(share, part.fewest / part.full))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.calibrate")
    parser.add_argument("--share", type=_share, default=1.0, help="of all studies and repeats")
    parser.add_argument("--only", choices=[part.module for part in PARTS])
    return parser


def _share(text: str) -> float:
    """Raises:
    ArgumentTypeError: not above 0 and at most 1.
    """
    share = float(text)
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"a share is above 0 and at most 1, not {text}")
    return share


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
