"""What seeds can see, before anything is trained: from the spread of runs that are there, or an assumed one.

An approximation: a difference is taken to vary as that of two arms of the mean spread does, and degrees
of freedom are those that such a family will have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np

from ablate.stats.anchored import (
    FEWEST_DOF,
    FEWEST_IMAGES,
    PRIOR_DOF,
    PRIOR_RATIO,
    Noise,
    Spread,
    block_noise,
    spread_of,
    unpaired_noise,
)
from ablate.stats.effect import FEWEST_AT_A_LOOK, least
from ablate.stats.family import anytime, dunnett, smallest_detectable
from ablate.stats.intervals import normal_to_t
from ablate.stats.sample import Bits, Sample
from ablate.system.messages.language import Said, SaidAmount

ASSUMED_ACCURACY = 0.95
ASSUMED_CHANCE = 1 / 3
"""The part of p(1 − p)/N, which bounds it, that independent noise is taken for: most images that a network
gets wrong it gets wrong with every seed."""
ASSUMED_IMAGES = 0.1
"""The variance that other images bring, as a share of what a single pair of runs varies by if images err
independently: as much as ten seeds leave of that."""
USUAL_PRIOR_DOF = 10.0
"""Half of the most that arms can tell each other of how much they vary."""
HALFWAY_OUT = 0.6745
"""Standard errors: half of all observed differences are further off than that."""
MOST_SEEDS = 10_000
MAX_SEEDS = 30
"""Of each variant, where seeds are added until it is decided and nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class Expected:
    """How much runs are expected to vary, and where that is from.

    `independent` is the variance of one run's accuracy if images erred independently, `ratio` how many
    times as much it is, `image_variance` what other images add to a difference, however many seeds there
    are. `telling` images are judged in two ways. `room` is the largest difference that there can be,
    `overlap` that of `Sample`.
    """

    independent: float
    ratio: float
    image_variance: float
    images: int
    telling: int
    room: float
    source: str
    overlap: float = 0.0

    def spread(self, variants: int, seeds: int) -> Spread:
        """That of one difference, of as many seeds of variant and baseline."""
        own = 2 * self.independent / seeds
        beyond = 2 * self.independent * max(self.ratio - 1, 0.0)
        excess = beyond * (1 / seeds + self.overlap)
        images = max(self.image_variance + own, 1 / self.images**2)
        image_dof = max(self.telling, FEWEST_IMAGES) - 1.0
        known = 2 * _arm_dof(variants, seeds)
        of_seeds = 2 * self.independent * (1 / seeds + self.overlap) + excess
        below = images**2 / image_dof + (of_seeds**2 / known if excess else 0.0)
        error = math.sqrt(images + excess)
        dof = error**4 / below
        single = 2 * self.independent + beyond
        here, lasting = math.sqrt(single / seeds), beyond * self.overlap
        return Spread(error, dof, self.image_variance, single, here, known, lasting)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What `variants` × `seeds` can see. None stands where no number of seeds does it.

    `smallest_detectable` is found with 80 % power, `seeds_for_margin` see the margin so. `until_seeds` and
    `until_runs` are what `--until-decided` takes where no variant differs: each stops as equivalent.
    """

    variants: int
    seeds: int
    margin: float
    smallest_detectable: float | None
    seeds_for_margin: int | None
    until_seeds: int | None
    until_runs: int | None
    expected: Expected


def assumed(
    images: int,
    accuracy: float = ASSUMED_ACCURACY,
    ratio: float = PRIOR_RATIO,
    folds: int | None = None,
) -> Expected:
    """What to expect where nothing has been trained yet."""
    independent = ASSUMED_CHANCE * accuracy * (1 - accuracy) / images
    source = Said(
        "assumed: accuracy {accuracy:.0f} %, a third of the errors by chance, φ = {ratio:g}",
        accuracy=100 * accuracy,
        ratio=ratio,
    )
    telling = round((1 - accuracy) * images)
    added = ASSUMED_IMAGES * 2 * independent
    overlap = Sample({}, folds=folds or 1).overlap
    return Expected(independent, ratio, added, images, telling, accuracy, source, overlap)


def measured(samples: Mapping[str, Sample]) -> Expected | None:
    """What to expect after runs of the same images and backbone; None without two seeds of any network.

    The seeds that two networks or more share are taken as blocks, as a verdict takes them.
    """
    repeated = {
        name: each for name, each in samples.items() if each.has_bits and len(each.seeds) > 1
    }
    if not repeated:
        return None
    bits, noise = _noise(repeated)
    everything = np.concatenate(list(bits.values()))
    images = everything.shape[1]
    accuracy = float(everything.mean())
    telling = int((everything.any(0) & ~everything.all(0)).sum())
    independent = float(np.mean([each.independent for each in noise]))
    return Expected(
        independent=independent,
        ratio=float(np.mean([each.ratio for each in noise])),
        image_variance=_image_variance(list(bits.values()), noise, independent),
        images=images,
        telling=telling,
        room=max(accuracy, 1 - accuracy),
        source=Said(
            "as measured in {runs} of this data set and backbone",
            runs=SaidAmount(len(everything), "run"),
        ),
        overlap=max(each.overlap for each in repeated.values()),
    )


def outlook(expected: Expected, variants: int, seeds: int, margin: float) -> Outlook | None:
    """What a family of comparisons can see; None where there is nothing that could be seen.

    That is with one seed, which compares two trained networks only, one test image, or no variant.
    """
    if variants < 1 or expected.images < 2:
        return None
    needed = least(lambda n: _seen(expected, variants, n) <= margin, 2, MOST_SEEDS)
    until = _until(expected, variants, margin)
    return Outlook(
        variants=variants,
        seeds=seeds,
        margin=margin,
        smallest_detectable=min(expected.room, _seen(expected, variants, seeds))
        if seeds > 1
        else None,
        seeds_for_margin=needed,
        until_seeds=until,
        until_runs=None if until is None else until * (variants + 1),
        expected=expected,
    )


def _arm_dof(variants: int, seeds: int) -> float:
    """The degrees of freedom of one arm's variance, moderated."""
    together = variants * (seeds - 1)
    if together < FEWEST_DOF:
        return PRIOR_DOF + together
    return USUAL_PRIOR_DOF + together / (variants + 1)


def _seen(expected: Expected, variants: int, seeds: int) -> float:
    spread = expected.spread(variants, seeds)
    return smallest_detectable(spread.error, spread.dof, dunnett(variants))


def _until(expected: Expected, variants: int, margin: float) -> int | None:
    """After how many seeds an interval that holds at every look lies within the margin, where the true
    difference is 0 and the observed one as far off as it is in half of studies.
    """

    def decided(seeds: int) -> bool:
        spread = expected.spread(variants, seeds)
        half = normal_to_t(anytime(variants, seeds), spread.dof)
        return (half + HALFWAY_OUT) * spread.error <= margin

    return least(decided, FEWEST_AT_A_LOOK, MOST_SEEDS)


def _noise(samples: Mapping[str, Sample]) -> tuple[dict[str, Bits], list[Noise]]:
    """Bits of each network, and how much it varies."""
    shared = sorted(frozenset.intersection(*(each.seeds for each in samples.values())))
    if len(samples) > 1 and len(shared) > 1:
        bits = {name: each.bits_at(shared) for name, each in samples.items()}
        return bits, block_noise(np.stack(list(bits.values())))
    bits = {name: each.bits_at(sorted(each.seeds)) for name, each in samples.items()}
    return bits, unpaired_noise(list(bits.values()))


def _image_variance(bits: list[Bits], noise: list[Noise], independent: float) -> float:
    """Of the difference to the first network, in the middle of all the others."""
    pairs = [
        spread_of(each, bits[0], own, noise[0])
        for each, own in zip(bits[1:], noise[1:], strict=True)
    ]
    found = [spread.image_variance for spread in pairs if spread is not None]
    return median(found) if found else ASSUMED_IMAGES * 2 * independent
