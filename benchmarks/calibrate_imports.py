"""`python -m benchmarks.calibrate_imports`: may verdicts about results from elsewhere be believed?

Studies without any difference, whose runs somebody numbered by their accuracy: the worst is seed 1 of every
variant. Accuracies alone vary by 0.2 points from seed to seed (`unequal`: every other variant by 0.6); with
the bits of 2,000 images trainings are good or bad as a whole besides. Printed is in how many percent of
studies any variant is called better or worse, as results from elsewhere are judged, and with `--paired`.

Fails if seeds that are not paired err in more than 8 % of the studies of a row.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ablate.stats import Sample, Verdict, effects
from benchmarks.options import watch

STUDIES = 1000
MOST_WRONG = 0.08
IMAGES = 2000
WRONG = (Verdict.BETTER, Verdict.WORSE)


@dataclass(frozen=True)
class Row:
    """Studies of so many arms with so many seeds each; with `bits` those of single images are there."""

    arms: int
    seeds: int
    bits: bool = False
    unequal: bool = False

    @property
    def name(self) -> str:
        kind = "predictions" if self.bits else "accuracies"
        return f"{kind}, {self.arms} arms, {self.seeds} seeds{', unequal' * self.unequal}"


ROWS = (
    Row(2, 8), Row(4, 8), Row(10, 10), Row(4, 8, unequal=True), Row(10, 10, unequal=True),
    Row(4, 3, bits=True), Row(4, 5, bits=True), Row(10, 3, bits=True),
)  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Print the rate of each row; 1 if one is above the bar."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.calibrate_imports", description=__doc__
    )
    parser.add_argument("--studies", type=int, default=STUDIES)
    studies = parser.parse_args(arguments).studies
    worst = 0.0
    counting = watch("results from elsewhere")
    for done, row in enumerate(ROWS):
        counting(done, len(ROWS))
        apart, paired = rates(row, studies)
        worst = max(worst, apart)
        print(
            f"{row.name}: {100 * apart:.1f} % (≤ {100 * MOST_WRONG:.0f}); paired {100 * paired:.1f} %"
        )
    return int(worst > MOST_WRONG)


def rates(row: Row, studies: int) -> tuple[float, float]:
    """The share of studies with a false verdict: unpaired, and paired."""
    rng = np.random.default_rng(3)
    found = [[_errs(drawn, paired=paired) for paired in (False, True)]
             for drawn in (_drawn(row, rng) for _ in range(studies))]  # fmt: skip
    apart, together = np.mean(found, axis=0)
    return float(apart), float(together)


def _drawn(row: Row, rng: np.random.Generator) -> dict[str, Sample]:
    hard = rng.normal(2.2, 1.5, IMAGES)
    return {
        f"v{arm}": _of_bits(row, hard, rng) if row.bits else _of_scores(row, arm, rng)
        for arm in range(row.arms)
    }


def _of_scores(row: Row, arm: int, rng: np.random.Generator) -> Sample:
    spread = 0.002 * (3 if row.unequal and arm % 2 else 1)
    return Sample.of_values(
        [float(x) for x in np.sort(rng.normal(0.93, spread, row.seeds)).round(4)]
    )


def _of_bits(row: Row, hard: np.ndarray, rng: np.random.Generator) -> Sample:
    runs = [
        rng.random(IMAGES) < 1 / (1 + np.exp(-(hard + rng.normal(0, 0.09))))
        for _ in range(row.seeds)
    ]
    return Sample.of_bits(dict(enumerate(sorted(runs, key=np.mean), 1)))


def _errs(drawn: dict[str, Sample], *, paired: bool) -> bool:
    samples = {name: replace(each, paired=paired) for name, each in drawn.items()}
    return any(effect.verdict in WRONG for effect in effects(samples, "v0").values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
