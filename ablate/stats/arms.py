"""Arms: what the means of several variants are made of, for comparisons of more than two of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ablate.stats.anchored import (
    FEWEST_DOF,
    PRIOR_DOF,
    Noise,
    block_noise,
    unpaired_noise,
)
from ablate.stats.moderate import Floats
from ablate.stats.plain import FEWEST_SEEDS, score_variances
from ablate.stats.sample import Bits, Sample

SHARE_OF_SEEDS = 0.75
"""Seeds are blocks where all arms share this part of the seeds that the middle one of them has."""


@dataclass(frozen=True)
class Arms:
    """Means of arms and what they vary by, in the order of `names`.

    `by_image` has the mean over seeds of every image, None where only scores are known. A single
    run's accuracy varies by `beyond` more than the images' own noise, which `by_image` holds;
    `variances` are what `beyond` was taken from, each known to `dof` degrees of freedom and all of
    them together to `known`; of these `independent` is what images that err independently make. Below eight
    seeds without bits nothing is `claimable`. `overlap` is that of `anchored.spread_of`, `span` how far apart
    two scores can be.

    `by_seed` has the score of each run, NaN where an arm has none at a seed; None where equal seeds have
    nothing in common. They are `blocks` where every arm has all of them.

    Shape: (arms,), (arms, images) and (arms, seeds).
    """

    names: tuple[str, ...]
    means: Floats
    runs: Floats
    beyond: Floats
    variances: Floats
    independent: Floats
    dof: Floats
    known: float
    by_image: Floats | None
    by_seed: Floats | None
    blocks: bool
    claimable: bool
    overlap: float = 0.0
    span: float = 1.0

    @cached_property
    def root(self) -> Floats:
        """A matrix whose rows have the covariance of the means, as seeds and images make them vary: that of
        two arms is row · row'. Of thousands of arms it takes seconds, for every question the same.
        """
        covariance = np.diag(self.beyond * (1 / self.runs + self.overlap))
        if self.by_image is not None:
            centred = self.by_image - self.by_image.mean(1, keepdims=True)
            images = centred.shape[1]
            covariance = covariance + centred @ centred.T / (images * (images - 1))
        values, vectors = np.linalg.eigh(covariance)
        found: Floats = vectors * np.sqrt(np.maximum(values, 0))
        return found


def gather(samples: Mapping[str, Sample]) -> Arms | None:
    """The arms with two runs or more, but for those that a search picked by; None if these are fewer than
    two or nothing varies.

    By the bits of single images where every run has them, else by scores.
    """
    chosen = {n: s for n, s in samples.items() if len(s.scores) > 1 and not s.picked_by}
    if len(chosen) < 2:
        return None
    shared = sorted(frozenset.intersection(*(sample.seeds for sample in chosen.values())))
    middle = float(np.median([len(sample.seeds) for sample in chosen.values()]))
    may_pair = all(sample.paired for sample in chosen.values())
    blocks = may_pair and len(shared) > 1 and len(shared) >= SHARE_OF_SEEDS * middle
    seeds = {name: shared if blocks else sorted(s.seeds) for name, s in chosen.items()}
    if all(sample.has_bits for sample in chosen.values()):
        return _by_bits(chosen, seeds, blocks=blocks)
    return _by_scores(chosen, seeds, blocks=blocks)


def _by_bits(
    samples: Mapping[str, Sample], seeds: Mapping[str, Sequence[int]], *, blocks: bool
) -> Arms | None:
    # Arm by arm, each time anew: all of them unpacked at once would take gigabytes.
    by_image = np.stack([each.mean(0) for each in _unpacked(samples, seeds)])
    if by_image.shape[1] < 2:
        return None
    noise = (block_noise if blocks else unpaired_noise)(_unpacked(samples, seeds))
    counts = [len(seeds[name]) for name in samples]
    return Arms(
        names=tuple(samples),
        means=by_image.mean(1),
        runs=np.array(counts, dtype=np.float64),
        beyond=_each(noise, "excess"),
        variances=_each(noise, "variance"),
        independent=_each(noise, "independent"),
        dof=_each(noise, "dof"),
        known=_together(counts, blocks=blocks),
        by_image=by_image,
        by_seed=_by_seed(samples, seeds),
        blocks=blocks,
        claimable=True,
        overlap=_overlap(samples),
        span=_span(samples),
    )


def _unpacked(samples: Mapping[str, Sample], seeds: Mapping[str, Sequence[int]]) -> Iterator[Bits]:
    return (sample.bits_at(seeds[name]) for name, sample in samples.items())


def _by_scores(
    samples: Mapping[str, Sample], seeds: Mapping[str, Sequence[int]], *, blocks: bool
) -> Arms | None:
    scores = [sample.at(seeds[name]) for name, sample in samples.items()]
    images = next(iter(samples.values())).images
    found = score_variances(scores, blocks=blocks, images=images)
    if found is None:
        return None
    counts = [len(each) for each in scores]
    return Arms(
        names=tuple(samples),
        means=np.array([each.mean() for each in scores]),
        runs=np.array(counts, dtype=np.float64),
        beyond=found[0],
        variances=found[0],
        independent=np.zeros(len(counts)),
        dof=found[1],
        known=_together(counts, blocks=blocks),
        by_image=None,
        by_seed=_by_seed(samples, seeds),
        blocks=blocks,
        claimable=min(counts) >= FEWEST_SEEDS,
        overlap=_overlap(samples),
        span=_span(samples),
    )


def _by_seed(samples: Mapping[str, Sample], seeds: Mapping[str, Sequence[int]]) -> Floats | None:
    if not all(sample.paired for sample in samples.values()):
        return None
    columns = {seed: i for i, seed in enumerate(sorted(set().union(*seeds.values())))}
    table = np.full((len(samples), len(columns)), np.nan)
    for row, (name, sample) in zip(table, samples.items(), strict=True):
        row[[columns[seed] for seed in seeds[name]]] = sample.at(seeds[name])
    return table


def _overlap(samples: Mapping[str, Sample]) -> float:
    return max(each.overlap for each in samples.values())


def _span(samples: Mapping[str, Sample]) -> float:
    return max(each.bounds[1] - each.bounds[0] for each in samples.values())


def _each(noise: Sequence[Noise], name: str) -> Floats:
    return np.array([float(getattr(arm, name)) for arm in noise])


def _together(counts: Sequence[int], *, blocks: bool) -> float:
    """To how many degrees of freedom the arms' common variance is known."""
    own = (counts[0] - 1) * (len(counts) - 1) if blocks else sum(counts) - len(counts)
    return float(own + PRIOR_DOF if own < FEWEST_DOF else own)
