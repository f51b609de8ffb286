"""`python -m benchmarks.calibrate_designs`: verdicts where a study is no grid of equal seeds.

Made-up studies without any difference on new images and with new seeds. *Contexts*: variants of one backbone
have a part of their quality in common at a seed, and the question is which backbone is better. *Places*: all
variants have it in common, but those of one place stopped at fewer seeds. *Baseline*: it has fewer seeds
than the variants. *Classes*: balanced accuracy where some classes have few images. Percent of studies that
decide anything; a bar of 8.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ablate.stats import Sample, Verdict, effects
from ablate.stats.arms import gather
from ablate.stats.factors import main_effects
from ablate.stats.metrics import OF_PREDICTIONS, count
from ablate.stats.sample import Predicted
from ablate.system.messages.text import duration
from benchmarks.options import watch

STUDIES = 400
BAR = 8.0
METRIC = "balanced_accuracy"
FALSE = (Verdict.BETTER, Verdict.WORSE)


@dataclass(frozen=True)
class Groups:
    """Two groups of so many variants, whose accuracy varies `ratio` times as much by seeds as independent
    images make it. `alike` is the part that a group has in common at a seed, or with `by_all` all variants.
    """

    variants: int
    alike: float
    ratio: float
    seeds: tuple[int, int] = (5, 5)
    by_all: bool = False
    looks: bool = False
    images: int = 2000

    def errs(self, rng: np.random.Generator) -> bool:
        """Whether one group is called better than the other."""
        easy = rng.beta(1.6, 0.08, self.images)
        uncertain = easy * (1 - easy)
        spread = np.sqrt((self.ratio - 1) * uncertain.sum()) / self.images
        weight = uncertain / uncertain.mean()
        common = rng.normal(0, np.sqrt(self.alike) * spread, (2, max(self.seeds)))
        samples, table = dict[str, Sample](), {}
        for group, seeds in enumerate(self.seeds):
            for variant in range(self.variants):
                name = f"{group}/{variant}"
                quality = rng.normal(0, np.sqrt(1 - self.alike) * spread, seeds)
                quality += common[0 if self.by_all else group, :seeds]
                chances = easy + quality[:, None] * weight
                bits = rng.random(chances.shape) < chances
                samples[name] = Sample.of_bits(dict(enumerate(bits, 1)))
                table[name] = {"variant": f"v{variant}", "group": f"g{group}"}
        arms = gather(samples)
        found = main_effects(arms, table, looks=self.looks) if arms is not None else []
        pairs = [each for e in found if e.factor == "group" for each in e.pairs.values()]
        return any(each.above or each.below for each in pairs)


@dataclass(frozen=True)
class Family:
    """Variants and a baseline whose images differ by chance, with so many seeds of each; with `classes` the
    number of images of each class, and balanced accuracy.
    """

    variants: int
    seeds: int
    baseline_seeds: int
    classes: tuple[int, ...] = ()
    own_images: float = 1.0
    images: int = 600

    def errs(self, rng: np.random.Generator) -> bool:
        """Whether any variant is called better or worse."""
        counts = (self.baseline_seeds, *[self.seeds] * self.variants)
        labels = np.repeat(np.arange(len(self.classes)), self.classes)
        easy = rng.normal(2, 1.5, len(labels) if self.classes else self.images)
        samples = dict[str, Sample]()
        for arm, seeds in enumerate(counts):
            own = easy + rng.normal(0, self.own_images, len(easy))
            right = own + rng.normal(0, 0.6, (seeds, len(easy))) > 0
            sample = _of_classes(right, labels, rng) if self.classes else _of_bits(right)
            samples[str(arm)] = sample
        return any(each.verdict in FALSE for each in effects(samples, "0").values())


def _of_bits(right: NDArray[np.bool_]) -> Sample:
    return Sample.of_bits(dict(enumerate(right, 1)))


def _of_classes(
    right: NDArray[np.bool_], labels: NDArray[np.int64], rng: np.random.Generator
) -> Sample:
    """What is wrong is said to be of any other class."""
    classes = int(labels.max()) + 1
    other = (labels + rng.integers(1, classes, right.shape)) % classes
    said = dict(enumerate(np.where(right, labels, other), 1))
    scores = {s: float(OF_PREDICTIONS[METRIC](count(labels, each))) for s, each in said.items()}
    return Sample(scores, predicted=Predicted(METRIC, labels, said))


Design = Groups | Family
ROWS: Mapping[str, Design] = {
    "contexts, 6 variants, independent": Groups(6, 0.0, 3.0),
    "contexts, 2 variants, correlate": Groups(2, 0.66, 3.0),
    "contexts, 6 variants, correlate": Groups(6, 0.66, 3.0),
    "contexts, 12 variants, ratio 5": Groups(12, 0.66, 5.0),
    "places, 10 and 10 seeds": Groups(8, 0.8, 5.0, (10, 10), by_all=True),
    "places, 20 and 4 seeds": Groups(8, 0.8, 5.0, (20, 4), by_all=True),
    "places, 20 and 4 seeds, looks": Groups(8, 0.8, 5.0, (20, 4), by_all=True, looks=True),
    "baseline 5, 20 variants of 5": Family(20, 5, 5),
    "baseline 3, 20 variants of 20": Family(20, 20, 3),
    "baseline 2, 20 variants of 20": Family(20, 20, 2),
    "6 classes of 50": Family(1, 10, 10, (50,) * 6, 2.0),
    "one more class of 1": Family(1, 10, 10, (*[50] * 6, 1), 2.0),
    "one more class of 2": Family(1, 10, 10, (*[50] * 6, 2), 2.0),
    "three more classes of 2": Family(1, 10, 10, (*[50] * 6, 2, 2, 2), 2.0),
    "three more classes of 5": Family(1, 10, 10, (*[50] * 6, 5, 5, 5), 2.0),
    "20 classes of 5": Family(1, 10, 10, (5,) * 20, 2.0),
}


def errors(design: Design, seed: int, numbers: Sequence[int]) -> int:
    """In how many of these studies something is decided."""
    return sum(design.errs(np.random.default_rng([seed, number])) for number in numbers)


def main(arguments: Sequence[str]) -> int:
    """Print every row; 1 if one is beyond the bar."""
    parser = argparse.ArgumentParser("python -m benchmarks.calibrate_designs")
    parser.add_argument("--studies", type=int, default=STUDIES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="rows that have this in their name")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    started, held, tell = time.monotonic(), True, watch("designs")
    chunks = np.array_split(np.arange(asked.studies), max(1, asked.studies // 10))
    with ProcessPoolExecutor(asked.processes) as pool:
        for number, (name, design) in enumerate(ROWS.items()):
            tell(number, len(ROWS))
            if asked.only not in name:
                continue
            told = pool.map(partial(errors, design, asked.seed), [each.tolist() for each in chunks])
            false = 100 * sum(told) / asked.studies
            print(f"{name:34s} {false:4.1f}{' !' if false > BAR else ''}", flush=True)
            held &= false <= BAR
    print(f"{duration(time.monotonic() - started)}")
    return int(not held)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
