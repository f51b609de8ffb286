"""Made-up studies whose truth is known: what the verdicts are tried on.

Images differ in difficulty, variants err on different ones, trainings of one variant are better or
worse as a whole. `ratio` says how much more accuracies vary over seeds than images that err
independently would make them: 1 for none, 1 to 7 were measured. With the values below about nine in
ten images are judged alike by every run, accuracy is near 98 %, and Welch's t-test with Holm's
adjustment finds one real difference of 0.45 points among nine in about 5, 25 and 85 % of studies with
3, 5 and 10 seeds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from ablate.stats import Sample

DIFFICULTY, DIFFICULTY_SPREAD = 9.0, 4.0
"""Mean and spread of the logit of an image being right."""


@dataclass(frozen=True)
class World:
    """What is true of a study: arm 0 is the baseline, arm 1 differs by `effect`, the others do not.

    `own_images` is the spread with which an image is harder for one arm than for another (in logits):
    with it arms differ on these images though not on new ones. `shared` is the part of a training's
    quality that all arms have in common at a seed.
    """

    arms: int = 10
    seeds: int = 5
    baseline_seeds: int | None = None
    ratios: tuple[float, ...] = (1.0,)
    own_images: float = 0.65
    effect: float = 0.0
    shared: float = 0.0
    images: int = 1797

    def study(self, rng: np.random.Generator) -> dict[str, Sample]:
        """One study of this world, by the names "0", "1", …; "0" is the baseline."""
        bits = self.bits(rng, max(self.seeds, self.baseline_seeds or 0))
        numbers = [self.baseline_seeds or self.seeds, *[self.seeds] * (self.arms - 1)]
        return {
            str(arm): Sample.of_bits(dict(enumerate(bits[arm, :n], 1)))
            for arm, n in enumerate(numbers)
        }

    def bits(self, rng: np.random.Generator, seeds: int) -> NDArray[np.bool_]:
        """Whether each run of each arm is right. Shape: (arms, seeds, images)."""
        easy = rng.normal(DIFFICULTY, DIFFICULTY_SPREAD, self.images)
        logits = easy + rng.normal(0, self.own_images, (self.arms, self.images))
        right = special.expit(logits)
        if self.effect:
            logits[1] += _shift(logits[1], self.effect)
        independent = (right * (1 - right)).sum(1) / self.images**2
        slope = (right * (1 - right)).mean(1)
        ratios = np.resize(np.asarray(self.ratios), self.arms)
        own, common = rng.normal(size=(self.arms, seeds)), rng.normal(size=seeds)
        quality = np.sqrt(1 - self.shared) * own + np.sqrt(self.shared) * common
        quality *= (np.sqrt((ratios - 1) * independent) / slope)[:, None]
        chances = special.expit((logits[:, None] + quality[:, :, None]).astype(np.float32))
        drawn: NDArray[np.bool_] = rng.random(chances.shape, dtype=np.float32) < chances
        return drawn


def _shift(logits: NDArray[np.float64], effect: float) -> float:
    """What to add to the logits so that their mean accuracy rises by `effect`."""
    before = special.expit(logits).mean()
    return float(
        optimize.brentq(lambda by: special.expit(logits + by).mean() - before - effect, -10, 30)
    )
