"""Which test images a variant gets right where the baseline is wrong, and the reverse. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BySeed = Mapping[int, NDArray[np.bool_]]
"""Of one variant: by seed, which of the test images it got right (N,)."""

SHOWN = 6
"""Of a kind, in a list."""


@dataclass(frozen=True, slots=True)
class Flip:
    """One image, by its number: how many of the runs got it right, of the baseline and of the variant."""

    image: int
    baseline_right: int
    variant_right: int


@dataclass(frozen=True)
class Flips:
    """A variant beside its baseline over the seeds that both have finished.

    `fixed` and `broken` are the images that change most, those that always change alone where there are
    any; `always_fixed` of all images are wrong in every run of the baseline and right in every one of the
    variant, `always_broken` the reverse. `by_chance` is how many of each there would be on average if it
    were drawn by lot, for each image and seed, which of the two runs was whose. `difference` is that of
    the accuracies, a fraction.
    """

    variant: str
    seeds: tuple[int, ...]
    images: int
    difference: float
    fixed: tuple[Flip, ...]
    broken: tuple[Flip, ...]
    always_fixed: int
    always_broken: int
    by_chance: float


def find_flips(name: str, baseline: BySeed, variant: BySeed, most: int = SHOWN) -> Flips | None:
    """The images that a variant changes, `most` of each kind; None without a seed that both have."""
    seeds = tuple(sorted(baseline.keys() & variant.keys()))
    if not seeds:
        return None
    before = np.stack([baseline[seed] for seed in seeds])
    after = np.stack([variant[seed] for seed in seeds])
    right = before.sum(axis=0), after.sum(axis=0)
    change = right[1] - right[0]
    n = len(seeds)
    every_pair_differs = (before != after).all(axis=0).sum()
    return Flips(
        variant=name,
        seeds=seeds,
        images=before.shape[1],
        difference=float(change.sum()) / before.size,
        fixed=_most(change, right, most, n),
        broken=_most(-change, right, most, n),
        always_fixed=int((change == n).sum()),
        always_broken=int((change == -n).sum()),
        # Of thousands of seeds 2**n is larger than any float.
        by_chance=math.ldexp(float(every_pair_differs), -n),
    )


def best_and_worst(
    baseline: str, bits: Mapping[str, BySeed], most: int = SHOWN
) -> tuple[Flips, ...]:
    """The flips of the variant that gains most on the baseline and of the one that loses most, which may
    be one. Of equal ones the first.
    """
    others = ((name, of) for name, of in bits.items() if name != baseline)
    base = bits.get(baseline, {})
    found = [each for name, of in others if (each := find_flips(name, base, of, most)) is not None]
    if not found:
        return ()
    ends = (max(found, key=lambda f: f.difference), min(found, key=lambda f: f.difference))
    return ends if ends[0] is not ends[1] else ends[:1]


def shown_images(flips: tuple[Flips, ...]) -> tuple[int, ...]:
    """The numbers of all images in these lists, ascending."""
    return tuple(sorted({flip.image for each in flips for flip in (*each.fixed, *each.broken)}))


def _most(
    change: NDArray[np.int64],
    right: tuple[NDArray[np.int64], NDArray[np.int64]],
    most: int,
    seeds: int,
) -> tuple[Flip, ...]:
    """The images with the largest change upwards, by number where it is equal."""
    order = np.argsort(-change, kind="stable")[:most]
    always = bool(len(order)) and change[order[0]] == seeds
    least = seeds if always else 1
    return tuple(
        Flip(image, int(right[0][image]), int(right[1][image]))
        for image in order.tolist()
        if change[image] >= least
    )
