"""Differences about new images and new seeds, from the bits of every run: the verdict's own rule.

A test set is a sample of images as seeds are a sample of trainings. The noise of images is read off
the differences image by image, which hold the independent noise of seeds as well; on top comes what
whole trainings vary by beyond that, `ratio` times as much in all, moderated over the arms. Formulas
and what they cost in simulation: docs/verdicts.md, `make calibrate`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ablate.stats.moderate import (
    Floats,
    f_quantile,
    floored,
    grubbs,
    moderated,
    prior_dof,
    residuals,
)
from ablate.stats.sample import Bits

CHUNK, VALUES = 2048, 2**23
"""Images at a time, and values: the bits are small, what is computed from them is not."""
FEWEST_DOF = 8
"""With fewer degrees of freedom in all arms together one variance is taken for all, and prior knowledge
stands beside it: trainings vary `PRIOR_RATIO` times as much as independent images, for 4 of them."""
PRIOR_RATIO, PRIOR_DOF = 5.0, 4.0
OUTLYING = 0.90
FEWEST_IMAGES = 8
"""With fewer images judged in two ways their variance is no estimate: one more image is counted."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What an arm's accuracy varies by from seed to seed.

    `independent` is the variance if images erred independently, `ratio` how many times as much it
    is, known to `dof` degrees of freedom; two arms that were moderated together have `together` at most.
    """

    independent: float
    ratio: float
    dof: float
    together: float

    @property
    def excess(self) -> float:
        """What the images' own noise does not hold."""
        return max(self.ratio - 1, 0.0) * self.independent

    @property
    def variance(self) -> float:
        """The variance of one run's accuracy on these images."""
        return self.ratio * self.independent


@dataclass(frozen=True, slots=True)
class Spread:
    """How uncertain a difference is. `error` is its standard error about new images and new seeds.

    `image_variance` is the part that more seeds do not lessen, `seed_variance` that of both arms'
    single runs together; `here_error` is the standard error on these very images. `fold_variance` is what
    folds that overlap add, which more seeds do not lessen either.
    """

    error: float
    dof: float
    image_variance: float
    seed_variance: float
    here_error: float
    here_dof: float
    fold_variance: float = 0.0

    @property
    def image_share(self) -> float:
        """The images' part of the variance of the difference, a fraction."""
        return min(1.0, self.image_variance / self.error**2) if self.error else 0.0


def block_noise(bits: Iterable[Bits]) -> list[Noise]:
    """The noise of each arm, the baseline first, with seeds as blocks. Arms are asked for one by one, and
    kept as packed bits.

    Shape: (seeds, images) for each arm, the same for all.
    """
    means, packed, images = list[Floats](), [], 0
    for each in bits:
        means.append(each.mean(1))
        packed.append(np.packbits(each, axis=1))
        images = each.shape[1]
    arms, seeds = len(packed), len(means[0])
    squares = (residuals(np.stack(means)) ** 2).sum(1)
    by_image, everything = np.zeros(arms), np.stack(packed)
    step = _images_at_once(arms * seeds)
    for start in range(0, images, step):
        part = everything[:, :, start // 8 : (start + step) // 8]
        some = np.unpackbits(part, axis=2, count=min(step, images - start))
        left = residuals(some.astype(np.float32))
        by_image += (left**2).sum((1, 2), dtype=np.float64)
    dof = np.full(arms, (seeds - 1) * (arms - 1) / arms)
    own, independent = grubbs(squares, seeds), grubbs(by_image, seeds) / images**2
    together = (seeds - 1) * (arms - 1)
    return _noise(own, independent, dof, together, images, few=together < FEWEST_DOF)


def unpaired_noise(bits: Iterable[Bits]) -> list[Noise]:
    """The noise of each arm, the baseline first, where their seeds are not the same. Arms are asked for one
    by one, and not kept.

    Shape: (seeds, images) for each arm, two seeds or more.
    """
    found, images = [], 0
    for each in bits:
        found.append((each.mean(1).var(ddof=1), _by_image(each), len(each) - 1.0))
        images = each.shape[1]
    own, independent, dof = np.array(found, dtype=np.float64).T
    few = dof[1:].sum() < FEWEST_DOF
    return _noise(own, independent, dof, float(dof.sum()), images, few=bool(few))


def _by_image(bits: Bits) -> float:
    """What one run's accuracy would vary by if images erred independently."""
    images, step = bits.shape[1], _images_at_once(len(bits))
    parts = [bits[:, i : i + step].var(0, ddof=1) for i in range(0, images, step)]
    return float(np.concatenate(parts).sum() / images**2)


def _images_at_once(runs: int) -> int:
    """How many images of so many runs are computed with: whole bytes of packed bits."""
    return min(CHUNK, max(8, VALUES // runs // 8 * 8))


def _noise(
    own: Floats, independent: Floats, dof: Floats, together: float, images: int, *, few: bool
) -> list[Noise]:
    """Moderated, known to no more than the degrees of freedom of all arms `together`; a baseline that
    clearly varies more than the others keeps its own ratio. Where there are `few`, one for all arms.
    """
    grain = 1 / (12 * images**2)
    own, independent = floored(own, grain), floored(independent, grain)
    # A calm baseline with many seeds of its own does not say that variants with few are as calm.
    weights = np.minimum(dof, np.median(dof[1:] if len(dof) > 1 else dof))
    common = float((weights * own).sum() / (weights * independent).sum())
    if few:
        ratio = (PRIOR_DOF * PRIOR_RATIO + together * common) / (PRIOR_DOF + together)
        pooled = float((dof * independent).sum() / dof.sum())
        in_all = PRIOR_DOF + together
        return [Noise(pooled, ratio, in_all, in_all)] * len(own)
    prior = prior_dof(own / independent, dof)
    ratios = moderated(own / independent, dof, common, prior)
    known = np.minimum(prior + dof, together)
    baseline = own[0] / independent[0]
    if baseline > common * f_quantile(OUTLYING, dof[0], dof[1:].sum()):
        ratios[0], known[0] = baseline, dof[0]
    # Two of two arms have one estimate between them; of four or more they have next to nothing in common.
    in_pairs = together * min(2.0, len(own) / 2)
    return [
        Noise(float(v), float(r), float(d), in_pairs)
        for v, r, d in zip(independent, ratios, known, strict=True)
    ]


def spread_of(
    bits: Bits, baseline: Bits, noise: Noise, baseline_noise: Noise, overlap: float = 0.0
) -> Spread | None:
    """The spread of the difference of two arms' accuracies; None for a single test image.

    `overlap` is what runs on overlapping training images share (`Sample.overlap`): n runs tell as much as
    1 / (1 / n + overlap). On these very images, which are those that are trained on, there is none of it.

    Shape: (seeds, images) each; their numbers of seeds may differ.
    """
    n, n_baseline, images = len(bits), len(baseline), bits.shape[1]
    if images < 2:
        return None
    variance, image_dof = _of_images(bits, baseline)
    shares = ((noise, 1 / n + overlap), (baseline_noise, 1 / n_baseline + overlap))
    here, here_dof = of_seeds(((noise, 1 / n), (baseline_noise, 1 / n_baseline)))
    # How well the excess is known is how well the whole is known, from which it is taken.
    parts = [(variance, image_dof), of_seeds([s for s in shares if s[0].excess])]
    squared = variance + sum(arm.excess * share for arm, share in shares)
    independent = noise.independent / n + baseline_noise.independent / n_baseline
    return Spread(
        error=math.sqrt(squared),
        dof=_satterthwaite(squared, parts),
        image_variance=max(0.0, variance - independent),
        seed_variance=sum(max(arm.variance, arm.independent) for arm, _ in shares),
        here_error=math.sqrt(here),
        here_dof=here_dof,
        fold_variance=overlap * (noise.excess + baseline_noise.excess),
    )


def of_seeds(shares: Sequence[tuple[Noise, float]]) -> tuple[float, float]:
    """What trainings of these arms vary by, each by its share, and its degrees of freedom: no more than
    they have together, for what they took from each other errs for both alike.
    """
    parts = [(arm.variance * share, arm.dof) for arm, share in shares]
    total = sum(part for part, _ in parts)
    apart = _satterthwaite(total, parts)
    return total, min(apart, *(arm.together for arm, _ in shares)) if shares else math.inf


def _of_images(bits: Bits, baseline: Bits) -> tuple[float, float]:
    """The variance of the mean of the differences image by image, and its degrees of freedom.

    Images that every run of both judges alike say nothing about it, however many there are.
    """
    images = bits.shape[1]
    by_image = bits.mean(0) - baseline.mean(0)
    right = bits.sum(0) + baseline.sum(0)
    telling = int(((right > 0) & (right < len(bits) + len(baseline))).sum())
    scale = images * (images - 1)
    # Two arms that are right on the same images by seed, as identical ones are, differ on none.
    if telling < FEWEST_IMAGES or not by_image.any():
        return float((by_image**2).sum() + 1) / scale, images - 1.0
    return float(((by_image - by_image.mean()) ** 2).sum()) / scale, telling - 1.0


def _satterthwaite(total: float, parts: Sequence[tuple[float, float]]) -> float:
    """The degrees of freedom of a sum of variances, each known to its own."""
    below = sum(part**2 / dof for part, dof in parts)
    return total**2 / below if below else math.inf
