"""`python -m benchmarks.other_worlds`: verdicts where their assumptions are bent, and the truth is known.

Beside the table of `benchmarks.calibrate_verdicts`, whose worlds the rule was made with: heavy tails,
trainings that collapse, networks that are far apart, few and many images, two seeds, a baseline with four
times the seeds, failed runs that leave blocks incomplete, seeds on which nearly everything depends.
Percent of studies with any false better or worse; a bar of 8, but for the row that is known to be beyond.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ablate.stats import Sample, Verdict, effects
from ablate.system.messages.text import duration
from benchmarks.options import watch
from benchmarks.worlds import DIFFICULTY, DIFFICULTY_SPREAD, World

STUDIES = 1000
MARKED = 8.0
KNOWN = {"baseline 12, unequal": 11.0}
"""Rows with another bar, of which docs/verdicts.md speaks."""


@dataclass(frozen=True)
class Bent(World):
    """A world whose trainings are drawn otherwise.

    `tails` are the degrees of freedom of Student's t that the quality of a training is drawn from,
    `collapsing` the share of trainings that lose `lost` in logits. `apart` is added to the logits of all
    images, by turns over the arms: those with the first one's are as good as the baseline. `failed` is the
    share of runs that are not there; one run of one variant at least.
    """

    tails: float | None = None
    collapsing: float = 0.0
    lost: float = 6.0
    apart: tuple[float, ...] = (0.0,)
    failed: float = 0.0
    difficulty: tuple[float, float] = (DIFFICULTY, DIFFICULTY_SPREAD)

    def study(self, rng: np.random.Generator) -> dict[str, Sample]:
        """As in `World`, without the runs that failed."""
        whole = super().study(rng)
        if not self.failed:
            return whole
        return {
            name: _without(sample, self.failed, name == "1", rng) for name, sample in whole.items()
        }

    def bits(self, rng: np.random.Generator, seeds: int) -> NDArray[np.bool_]:
        """Whether each run of each arm is right. Shape: (arms, seeds, images)."""
        easy = rng.normal(*self.difficulty, self.images)
        logits = easy + rng.normal(0, self.own_images, (self.arms, self.images))
        logits += np.resize(np.asarray(self.apart), self.arms)[:, None]
        right = special.expit(logits)
        spread = (right * (1 - right)).mean(1)
        ratios = np.resize(np.asarray(self.ratios), self.arms)
        own, common = self._quality(rng, (self.arms, seeds)), self._quality(rng, (1, seeds))
        quality = np.sqrt(1 - self.shared) * own + np.sqrt(self.shared) * common
        quality *= (np.sqrt((ratios - 1) / (spread * self.images)))[:, None]
        quality -= self.lost * (rng.random((self.arms, seeds)) < self.collapsing)
        chances = special.expit((logits[:, None] + quality[:, :, None]).astype(np.float32))
        drawn: NDArray[np.bool_] = rng.random(chances.shape, dtype=np.float32) < chances
        return drawn

    def _quality(self, rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
        if self.tails is None:
            return rng.normal(size=shape)
        drawn: NDArray[np.float64] = rng.standard_t(self.tails, size=shape)
        return drawn * float(np.sqrt((self.tails - 2) / self.tails))

    def is_false(self, arm: int, verdict: Verdict) -> bool:
        """Whether a verdict claims what is not so of this arm."""
        levels = np.resize(np.asarray(self.apart), self.arms)
        sign = np.sign(levels[arm] - levels[0])
        wrong = {Verdict.BETTER: sign <= 0, Verdict.WORSE: sign >= 0}
        return bool(wrong.get(verdict, False))


def _without(sample: Sample, share: float, surely: bool, rng: np.random.Generator) -> Sample:
    """Without the runs that failed; one is left."""
    seeds = sorted(sample.correct)
    lost = {seed for seed in seeds if rng.random() < share} | ({seeds[-1]} if surely else set())
    kept = [seed for seed in seeds if seed not in lost] or seeds[:1]
    return Sample.of_bits({seed: sample.correct[seed] for seed in kept})


HARD = (3.0, 4.0)
"""Images of which about 75 % are right."""
ROWS: Mapping[str, tuple[Bent, Sequence[int]]] = {
    "tails of t3, ratio 3": (Bent(ratios=(3.0,), tails=3.0), (3, 5, 10)),
    "tails of t3, ratio 7": (Bent(ratios=(7.0,), tails=3.0), (3, 5, 10)),
    "one in ten collapses": (Bent(collapsing=0.1), (3, 5, 10)),
    "90 %, half at 30 %": (
        Bent(ratios=(2.0,), difficulty=(5.4, 4.0), apart=(0.0, -7.6)), (3, 5, 10)),
    "30 %, half at 90 %": (
        Bent(ratios=(2.0,), difficulty=(-2.2, 4.0), apart=(0.0, 7.6)), (3, 5, 10)),
    "3 variants, one at 30 %": (
        Bent(arms=4, ratios=(2.0,), difficulty=(5.4, 4.0), apart=(0.0, 0.0, 0.0, -7.6)), (2, 3, 5)),
    "3 variants, baseline at 30 %": (
        Bent(arms=4, ratios=(2.0,), difficulty=(-2.2, 4.0), apart=(0.0, 0.0, 7.6, 7.6)), (2, 3, 5)),
    "100 images": (Bent(images=100, difficulty=HARD, ratios=(1.5,)), (3, 5, 10)),
    "100 easy images": (Bent(images=100), (3, 5, 10)),
    "10,000 images, ratio 3": (Bent(images=10_000, ratios=(3.0,)), (3, 5)),
    "10,000 images, ratio 7": (Bent(images=10_000, ratios=(7.0,)), (3, 5)),
    "two seeds, ratio 1.5": (Bent(ratios=(1.5,)), (2,)),
    "two seeds, ratio 3": (Bent(ratios=(3.0,)), (2,)),
    "two seeds, ratio 7": (Bent(ratios=(7.0,)), (2,)),
    "two seeds, 1 variant, ratio 7": (Bent(arms=2, ratios=(7.0,)), (2,)),
    "two seeds, 3 variants, ratio 7": (Bent(arms=4, ratios=(7.0,)), (2,)),
    "baseline 12": (Bent(baseline_seeds=12, ratios=(1.5,)), (3,)),
    "baseline 12, ratio 3": (Bent(baseline_seeds=12, ratios=(3.0,)), (3,)),
    "baseline 12, unequal": (
        Bent(baseline_seeds=12, ratios=(1.0, 1.0, 7.0, 1.0, 3.0, 1.0, 5.0, 2.0, 1.0, 4.0)), (3,)),
    "baseline 12, one variant": (Bent(arms=2, baseline_seeds=12, ratios=(3.0,)), (3,)),
    "baseline 12, seeds correlate": (Bent(baseline_seeds=12, ratios=(3.0,), shared=0.6), (3,)),
    "a failed run": (Bent(failed=1e-9, ratios=(2.0,)), (3, 5, 10)),
    "a run in ten failed": (Bent(failed=0.1, ratios=(2.0,)), (3, 5, 10)),
    "a run in ten failed, 3 variants": (Bent(arms=4, failed=0.1, ratios=(3.0,)), (3, 5, 10)),
    "a run in ten failed, correlate": (Bent(failed=0.1, ratios=(3.0,), shared=0.6), (3, 5, 10)),
    "seeds decide nearly all, ratio 7": (Bent(ratios=(7.0,), shared=0.95), (2, 3, 5, 10)),
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """Percent of studies with any false verdict, and of comparisons that were decided."""

    false: float
    decided: float = field(default=0.0)


def simulate(world: Bent, studies: int, seed: int, pool: ProcessPoolExecutor) -> Found:
    """Any false verdict, in so many studies of one world."""
    chunks = np.array_split(np.arange(studies), max(1, studies // 25))
    told = list(pool.map(partial(count, world, seed), [chunk.tolist() for chunk in chunks]))
    false, decided = np.sum(told, axis=0)
    return Found(100 * false / studies, 100 * decided / studies / (world.arms - 1))


def count(world: Bent, seed: int, numbers: Sequence[int]) -> tuple[int, int]:
    """In how many of these studies there is a false verdict, and how many verdicts are reached."""
    false = decided = 0
    for number in numbers:
        found = effects(world.study(np.random.default_rng([seed, 7, number])), "0")
        false += any(world.is_false(int(arm), effect.verdict) for arm, effect in found.items())
        decided += sum(effect.decided for effect in found.values())
    return false, decided


def main(arguments: Sequence[str]) -> int:
    """Print every row; 1 if one is beyond its bar."""
    parser = argparse.ArgumentParser("python -m benchmarks.other_worlds")
    parser.add_argument(
        "--studies", type=int, default=STUDIES, help="made-up studies for each cell"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="rows that have this in their name")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    started, held, tell = time.monotonic(), True, watch("other worlds")
    with ProcessPoolExecutor(asked.processes) as pool:
        for number, (name, (world, seeds)) in enumerate(ROWS.items()):
            tell(number, len(ROWS))
            if asked.only not in name:
                continue
            found = {
                n: simulate(replace(world, seeds=n), asked.studies, asked.seed, pool) for n in seeds
            }
            bar = KNOWN.get(name, MARKED)
            told = "".join(
                f"  n = {n}: {f.false:4.1f}{' !' if f.false > bar else ''} ({f.decided:.0f} decided)"
                for n, f in found.items()
            )
            print(f"{name:34s}{told}", flush=True)
            held &= all(each.false <= bar for each in found.values())
    print(f"{duration(time.monotonic() - started)}")
    return int(not held)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
