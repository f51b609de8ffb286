"""`python -m benchmarks.calibrate_until_decided`: does `--until-decided` keep its promise, and at what cost?

Studies are simulated image by image: 10,000 test images, of which 1,000 are hard, a standard deviation of
0.2 points from seed to seed, 9 or 26 variants of which 2 or 5 differ by ±0.5 points, a margin of 0.3. Seeds
are added block by block as `ablate run --until-decided` adds them, until every variant is decided. A third
of the variance of runs is images that err by chance, two thirds are whole trainings: the arm's own
(correlation 0), or the seed's, which all arms share (0.66). In the last row variants also differ from image
to image, by nothing on the whole.

A verdict is wrong if it says better, worse or equivalent of a variant that is not so. Fails if more than
5 % of the studies of a row have any wrong verdict.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from ablate.stats.anchored import FEWEST_DOF, FEWEST_IMAGES, _noise
from ablate.stats.effect import FEWEST_AT_A_LOOK, Verdict, judge
from ablate.stats.family import anytime
from ablate.stats.intervals import normal_to_t
from ablate.stats.moderate import grubbs, residuals
from benchmarks.options import watch

STUDIES = 2000
MOST_SEEDS = 100
PROMISED = 0.05

Floats = NDArray[np.float64]
Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class World:
    """What is simulated. `effects` are the true differences of the variants, `image_arm` the standard
    deviation in logits by which each variant differs from image to image.
    """

    name: str
    effects: tuple[float, ...]
    correlated: bool
    image_arm: float = 0.0
    images: int = 10_000
    hard: int = 1_000
    sd: float = 0.002
    margin: float = 0.003


@dataclass(frozen=True)
class Course:
    """How one study went: runs in all, seeds of the last variant, how many verdicts are wrong or missing."""

    runs: int
    seeds: int
    wrong: int
    undecided: int


def family(variants: int, differing: int) -> tuple[float, ...]:
    """Some variants half a point better or worse, in turns; the others as the baseline."""
    signs = [0.005 if each % 2 == 0 else -0.005 for each in range(differing)]
    return tuple(signs + [0.0] * (variants - differing))


WORLDS = (
    World("9 variants, correlation 0", family(9, 2), correlated=False),
    World("9 variants, correlation 0.66", family(9, 2), correlated=True),
    World("26 variants, correlation 0", family(26, 5), correlated=False),
    World("26 variants, correlation 0.66", family(26, 5), correlated=True),
    World("26 variants, 0.66, images differ", family(26, 5), correlated=True, image_arm=0.5),
)


class Trainings:
    """The hard images' bits of every arm, the baseline first, seed after seed; the easy ones are right."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        arms = len(world.effects) + 1
        easiness = rng.normal(1.5, 2.0, world.hard)
        shifts = [_shift(easiness, effect * world.images) for effect in (0.0, *world.effects)]
        own = rng.normal(0.0, world.image_arm, (arms, world.hard)) if world.image_arm else 0.0
        self._logits = easiness + np.array(shifts)[:, None] + own
        right = special.expit(easiness)
        slope = (right * (1 - right)).sum()
        excess = max(0.0, world.sd**2 - slope / world.images**2)
        self._whole = np.sqrt(excess) * world.images / slope
        self._world, self._rng = world, rng

    def seed(self) -> Bits:
        """One seed of every arm; shape (arms, hard images)."""
        arms, hard = self._logits.shape
        drawn = self._rng.normal(0.0, self._whole, 1 if self._world.correlated else arms)
        chances = special.expit(self._logits + drawn[:, None])
        bits: Bits = self._rng.random((arms, hard)) < chances
        return bits


def _shift(easiness: Floats, more: float) -> float:
    """What added to the logits makes so many more of the images right."""
    before = special.expit(easiness).sum()
    return float(
        optimize.brentq(lambda s: special.expit(easiness + s).sum() - before - more, -8, 8)
    )


def run_study(world: World, number: int) -> Course:
    """Block by block until every variant is decided."""
    trainings = Trainings(world, np.random.default_rng([2026, number]))
    variants = len(world.effects)
    going_on = list(range(variants))
    seeds: list[Bits] = []
    runs = wrong = 0
    while going_on and len(seeds) < MOST_SEEDS:
        seeds.append(trainings.seed())
        runs += len(going_on) + 1
        if len(seeds) < FEWEST_AT_A_LOOK:
            continue
        bits = np.stack(seeds, axis=1)[[0, *(each + 1 for each in going_on)]]
        low, high = intervals(bits, world.images, variants)
        pairs = zip(low.tolist(), high.tolist(), strict=True)
        verdicts = [judge(below, above, world.margin) for below, above in pairs]
        decided = dict(zip(going_on, verdicts, strict=True))
        wrong += sum(_is_wrong(verdict, world.effects[v], world) for v, verdict in decided.items())
        going_on = [v for v in going_on if decided[v] is Verdict.UNDECIDED]
    return Course(runs, len(seeds), wrong, len(going_on))


def _is_wrong(verdict: Verdict, effect: float, world: World) -> bool:
    match verdict:
        case Verdict.BETTER:
            return effect <= 0
        case Verdict.WORSE:
            return effect >= 0
        case Verdict.EQUIVALENT:
            return abs(effect) >= world.margin
        case _:
            return False


def intervals(bits: Bits, images: int, variants: int) -> tuple[Floats, Floats]:
    """What `ablate.stats.effects(..., looks=True)` says of all arms but the first, for all at once.

    Images that all runs judge alike need not be there; `images` counts them. A test holds the two against
    each other.

    Shape: bits (arms, seeds, images that differ).
    """
    arms, seeds, _ = bits.shape
    values: Any = bits.astype(np.float32)
    squares = (residuals(values.sum(2, dtype=np.float64) / images) ** 2).sum(1)
    by_image = (residuals(values) ** 2).sum((1, 2), dtype=np.float64)
    dof = np.full(arms, (seeds - 1) * (arms - 1) / arms)
    own, independent = grubbs(squares, seeds), grubbs(by_image, seeds) / images**2
    together = (seeds - 1) * (arms - 1)
    noise = _noise(own, independent, dof, together, images, few=together < FEWEST_DOF)
    right = bits.sum(1)
    apart = (right[1:] - right[0]) / seeds
    both = right[1:] + right[0]
    telling = ((both > 0) & (both < 2 * seeds)).sum(1)
    difference = apart.sum(1) / images
    squared = (apart**2).sum(1)
    few = (telling < FEWEST_IMAGES) | ~apart.any(1)
    image_part = np.where(few, squared + 1, squared - images * difference**2)
    image_part /= images * (images - 1)
    total, below = image_part.copy(), image_part**2 / np.where(few, images - 1, telling - 1)
    apart_below, of_seeds = np.zeros(arms - 1), np.zeros(arms - 1)
    for which in (noise[1:], noise[:1] * (arms - 1)):
        excess = np.array([each.excess for each in which]) / seeds
        whole = np.array([each.variance for each in which]) / seeds
        known = np.array([each.dof for each in which])
        total += excess
        of_seeds += np.where(excess > 0, whole, 0.0)
        apart_below += np.where(excess > 0, whole**2 / known, 0.0)
    below += np.maximum(apart_below, of_seeds**2 / noise[0].together)
    critical = anytime(variants, seeds)
    half = np.array([normal_to_t(critical, each) for each in total**2 / below]) * np.sqrt(total)
    return difference - half, difference + half


def table_row(world: World, courses: Sequence[Course]) -> tuple[str, float]:
    """A line of the table, and the share of studies with any wrong verdict."""
    wrong = sum(course.wrong > 0 for course in courses) / len(courses)
    open_ = sum(course.undecided > 0 for course in courses) / len(courses)
    runs = np.mean([course.runs for course in courses])
    seeds = np.mean([course.seeds for course in courses])
    text = f"{world.name:34s} {len(courses):7,d} {100 * wrong:8.2f} {runs:10.0f} {seeds:11.1f} "
    return text + f"{100 * open_:10.2f}", wrong


def main(arguments: Sequence[str]) -> int:
    """Simulate every row; 1 if one of them has more wrong verdicts than promised."""
    parser = argparse.ArgumentParser(prog="benchmarks.calibrate_until_decided")
    parser.add_argument("--studies", type=int, default=STUDIES, help="studies for each row")
    parser.add_argument("--processes", type=int, default=None, help="one for each core unless set")
    asked = parser.parse_args(arguments)
    print(
        f"{'':34s} {'studies':>7s} {'wrong %':>8s} {'mean runs':>10s} {'mean seeds':>11s} {'open %':>10s}"
    )
    worst, tell = 0.0, watch("until decided")
    with ProcessPoolExecutor(asked.processes) as pool:
        for number, world in enumerate(WORLDS):
            courses: list[Course] = []
            for each in pool.map(partial(run_study, world), range(asked.studies), chunksize=10):
                tell(number * asked.studies + len(courses), len(WORLDS) * asked.studies)
                courses.append(each)
            text, wrong = table_row(world, courses)
            print(text, flush=True)
            worst = max(worst, wrong)
    return int(worst > PROMISED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
