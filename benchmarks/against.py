"""`python -m benchmarks.against CHECKOUT`: this engine beside that of another checkout, in turns.

Both train the same networks on the same images as a grid does, a process for each core and a cohort in each,
one checkout at a time in processes that stay. The same libraries, and attention computed the same way: what
differs is the code. Whether it also computes the same is told by the losses, to the last digit.

    git worktree add ../before COMMIT && python -m benchmarks.against ../before
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO, cast

from ablate.errors import AblateError
from ablate.system.hardware.processor import count_cores
from benchmarks.field import VARIANTS
from benchmarks.options import watch
from benchmarks.race import BenchmarkError, interleaved
from benchmarks.statistics import Ratio, ratio_of

HERE = Path(__file__).resolve().parents[1]
LANE = Path(__file__).with_name("against_lane.py")
ROUNDS, STEPS, COHORT = 40, 256, 4


class Lane:
    """The engine of one checkout in processes of its own. A context manager that ends them."""

    def __init__(self, checkout: Path, asked: dict[str, Any]) -> None:
        self._checkout = checkout
        # -P: the folder of this file must not stand before the checkout's own.
        command = [sys.executable, "-P", str(LANE), json.dumps(asked)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=checkout,
            env=os.environ | {"PYTHONPATH": str(checkout)},
        )  # fmt: skip
        self._to = cast(TextIO, self._process.stdin)
        self._from = cast(TextIO, self._process.stdout)
        self.kernels: dict[str, str] = self._answer()["kernels"]

    def lap(self) -> tuple[float, float]:
        """Images per second, and the mean loss.

        Raises:
            BenchmarkError: the process is gone.
        """
        try:
            print("lap", file=self._to, flush=True)
        except BrokenPipeError:
            raise self._gone() from None
        found = self._answer()
        return found["images_per_second"], found["loss"]

    def _answer(self) -> dict[str, Any]:
        line = self._from.readline()
        if not line:
            raise self._gone()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _end(self) -> None:
        with self._process:  # closes both ends and waits
            self._to.close()

    def _gone(self) -> BenchmarkError:
        self._end()
        return BenchmarkError(
            f"{self._checkout}: its engine ended; is it a checkout of this project, with benchmarks/ours.py?"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._end()


def compare(checkout: Path, attention: str, rounds: int, steps: int) -> tuple[Ratio, bool]:
    """How many times as fast this engine is as that of the checkout, and whether both end at the same loss.

    Raises:
        BenchmarkError: one of them cannot run.
    """
    asked = {"attention": attention, "steps": steps, "workers": count_cores(), "cohort": COHORT}
    with ExitStack() as stack:
        mine = stack.enter_context(Lane(HERE, asked))
        other = stack.enter_context(Lane(checkout.resolve(), asked | {"kernels": mine.kernels}))
        lanes = (mine, other)
        laps: list[list[tuple[float, float]]] = [[], []]
        seen = watch(f"against {checkout.name}, {attention}")
        for number in range(rounds):
            for i in interleaved(len(lanes), number):
                laps[i].append(lanes[i].lap())
            seen(number + 1, rounds)
    speeds, losses = ([[lap[part] for lap in own] for own in laps] for part in (0, 1))
    return ratio_of(*speeds), losses[0] == losses[1]


def main(arguments: Sequence[str]) -> int:
    """Compare, network by network; a line for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("checkout", type=Path, help="the root of another checkout")
    parser.add_argument(
        "--attention", action="append", choices=VARIANTS, help="only these networks"
    )
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help=f"each one lap of both ({ROUNDS})"
    )
    parser.add_argument(
        "--steps", type=int, default=STEPS, help=f"batches of 64 in a lap ({STEPS})"
    )
    asked = parser.parse_args(arguments)
    try:
        for name in asked.attention or VARIANTS:
            found, same = compare(asked.checkout, name, asked.rounds, asked.steps)
            interval = "" if found.low is None else f" ({found.low:.3f}–{found.high:.3f})"
            losses = "the same losses" if same else "other losses"
            print(
                f"{name}: ×{found.ratio:.3f}{interval} as fast, {losses}, {found.rounds} rounds",
                flush=True,
            )
    except AblateError as error:
        print(f"benchmarks.against: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
