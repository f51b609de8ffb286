"""Contrasts: weighted sums of arms' means whose weights sum to 0, with one simultaneous interval each.

The rule is that of a variant against its baseline (`anchored`): the noise of images off the
differences image by image, what trainings vary by beyond it on top. How far out one of several
contrasts must be follows from their own correlation: the 95 % quantile of the largest of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ablate.stats.alike import times_by_seed
from ablate.stats.anchored import FEWEST_IMAGES
from ablate.stats.arms import Arms
from ablate.stats.effect import FEWEST_AT_A_LOOK, Withheld
from ablate.stats.family import CONFIDENCE, anytime, smallest_detectable
from ablate.stats.intervals import normal_to_t
from ablate.stats.moderate import Floats

DRAWS, SEED = 50_000, 0
"""Of the largest contrast; the quantile's own error is a tenth of a percent of coverage."""
CHUNK = 5_000
LEAST_VARIANCE = 1e-20
"""Below it a variance is what rounding left of 0."""

Weights = Mapping[str, float]
"""Arm → weight; they sum to 0."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A contrast with its simultaneous 95 % interval, in the unit of the scores.

    It reaches `critical` (normal units, as Student's t with `dof`) standard errors to either side.
    Where it is `withheld` nothing may be said that the interval carries. `room` is the largest that it
    can be.
    """

    difference: float
    error: float
    dof: float
    critical: float
    withheld: Withheld | None = None
    room: float = 1.0

    @property
    def half(self) -> float:
        """Half the length of the interval."""
        return normal_to_t(self.critical, self.dof) * self.error

    @property
    def low(self) -> float:
        """The lower end of the interval."""
        return self.difference - self.half

    @property
    def high(self) -> float:
        """The upper end of the interval."""
        return self.difference + self.half

    @property
    def above(self) -> bool:
        """Whether it is decided that the contrast is above 0."""
        return self.withheld is None and self.low > 0

    @property
    def below(self) -> bool:
        """Whether it is decided that the contrast is below 0."""
        return self.withheld is None and self.high < 0

    @property
    def turned(self) -> Estimate:
        """The same with all signs changed."""
        return replace(self, difference=-self.difference)

    @property
    def smallest_detectable(self) -> float:
        """The difference that is found with 80 % power."""
        return smallest_detectable(self.error, self.dof, self.critical)


def estimates(
    arms: Arms,
    contrasts: Sequence[Weights],
    *,
    planned: int = 0,
    looks: bool = False,
) -> list[Estimate]:
    """The estimate of each contrast; together they are one family.

    `planned` is how many contrasts the whole design has: what cannot be estimated yet counts as
    well, so that nothing becomes easier because runs are missing. With `looks` the intervals hold
    at every look (`family.anytime`).
    """
    if not contrasts:
        return []
    weights = _matrix(arms, contrasts)
    share = 1 / arms.runs + arms.overlap
    images, image_dof = _of_images(arms, weights)
    times, known = times_by_seed(arms, weights)
    beyond = np.maximum(arms.beyond, np.outer(times, arms.variances) - arms.independent)
    variances = np.maximum(images + (weights**2 * beyond * share).sum(1), LEAST_VARIANCE)
    of_seeds = np.where(beyond > 0, weights**2 * np.outer(times, arms.variances * share), 0.0)
    dof = _satterthwaite(arms, of_seeds, known, images, image_dof, variances)
    if looks:
        out = anytime(max(planned, len(contrasts)), int(arms.runs.min()))
    else:
        more = weights * np.sqrt((beyond - arms.beyond) * share)
        rows = np.hstack([weights @ arms.root, more]) if more.any() else weights @ arms.root
        out = _critical(rows, variances, planned)
    means = weights @ arms.means
    withheld = [_withheld(arms, row != 0, looks=looks) for row in weights]
    room = np.maximum(weights, 0).sum(1) * arms.span
    return [
        Estimate(float(d), math.sqrt(v), float(f), out, why, float(most))
        for d, v, f, why, most in zip(means, variances, dof, withheld, room, strict=True)
    ]


def _withheld(arms: Arms, used: NDArray[np.bool_], *, looks: bool) -> Withheld | None:
    """Why nothing may be said of a contrast of these arms, as of one variant (`effects`)."""
    if looks and arms.by_image is None:
        return Withheld.NO_LOOKS
    if looks and arms.runs[used].min() < FEWEST_AT_A_LOOK:
        return Withheld.FEW_SHARED
    return None if arms.claimable else Withheld.FEW_SEEDS


def _matrix(arms: Arms, contrasts: Sequence[Weights]) -> Floats:
    place = {name: i for i, name in enumerate(arms.names)}
    matrix = np.zeros((len(contrasts), len(place)))
    for row, contrast in zip(matrix, contrasts, strict=True):
        for name, weight in contrast.items():
            row[place[name]] = weight
    return matrix


def _of_images(arms: Arms, weights: Floats) -> tuple[Floats, Floats]:
    """The images' variance of each contrast, and its degrees of freedom.

    Of images that all its runs judge alike it says nothing; where fewer than eight are left, one
    more is counted on which the contrast is as large as it can be.
    """
    none = np.zeros(len(weights))
    if arms.by_image is None:
        return none, np.full(len(weights), math.inf)
    images = arms.by_image.shape[1]
    squares = ((weights @ _centred(arms.by_image)) ** 2).sum(1)
    telling = np.array([_telling(arms.by_image[row != 0]) for row in weights])
    few = (telling < FEWEST_IMAGES) | (squares < LEAST_VARIANCE)
    largest = np.maximum(weights, 0).sum(1)
    counted = squares + images * (weights @ arms.means) ** 2 + largest**2
    scale = images * (images - 1)
    return np.where(few, counted, squares) / scale, np.where(few, images, telling) - 1.0


def _centred(by_image: Floats) -> Floats:
    centred: Floats = by_image - by_image.mean(1, keepdims=True)
    return centred


def _telling(by_image: Floats) -> int:
    """The images that not every run of these arms judges alike."""
    alike = (by_image == 0).all(0) | (by_image == 1).all(0)
    return int((~alike).sum())


def _satterthwaite(
    arms: Arms,
    of_seeds: Floats,
    known: Floats,
    images: Floats,
    image_dof: Floats,
    total: Floats,
) -> Floats:
    """The degrees of freedom of each contrast's variance.

    The seeds' part is known no better than the arms' common variance is, however many arms are in
    a contrast: their moderated variances lean on it; nor than it is `known` how much they vary alike.
    """
    known = np.minimum(known, arms.known)
    below = np.maximum((of_seeds**2 / arms.dof).sum(1), of_seeds.sum(1) ** 2 / known)
    below = below + images**2 / image_dof
    dof: Floats = np.divide(total**2, below, out=np.full(len(total), 1e9), where=below > 0)
    return np.minimum(dof, 1e9)


def _critical(rows: Floats, variances: Floats, planned: int) -> float:
    """The 95 % quantile of the largest of the contrasts in normal units, by simulation.

    What a contrast's variance has beyond its row is its own; planned ones that are missing are
    taken for independent.
    """
    missing = max(0, planned - len(rows))
    if len(rows) + missing == 1:
        return float(special.ndtri((1 + CONFIDENCE) / 2))
    scaled = rows / np.sqrt(variances)[:, None]
    own = np.sqrt(np.maximum(0.0, 1 - (scaled**2).sum(1)))
    alone = np.flatnonzero(own > 1e-3)
    rng = np.random.default_rng(SEED)
    largest = np.empty(DRAWS)
    for start in range(0, DRAWS, CHUNK):
        drawn = rng.standard_normal((CHUNK, scaled.shape[1])) @ scaled.T
        drawn[:, alone] += own[alone] * rng.standard_normal((CHUNK, len(alone)))
        largest[start : start + CHUNK] = np.abs(drawn).max(1)
    if missing:
        # The largest of so many independent |Z|, by its distribution function.
        uniform = rng.random(DRAWS) ** (1 / missing)
        largest = np.maximum(largest, special.ndtri((1 + uniform) / 2))
    return float(np.quantile(largest, CONFIDENCE))
