"""From the runs of every variant to effects: which rule fits them, and what it says.

Image-anchored, moderated and simultaneous (docs/verdicts.md). Welch and Holm, the customary way, are
not used: with more seeds of the baseline they call differences that are not there in up to 27 % of
studies, and with equal seeds they find 3 % of real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ablate.errors import OptionError, unknown
from ablate.stats.anchored import Noise, Spread, block_noise, spread_of, unpaired_noise
from ablate.stats.bootstrap import bootstrap_effects
from ablate.stats.effect import (
    DEFAULT_MARGIN,
    FEWEST_AT_A_LOOK,
    Effect,
    Rule,
    Verdict,
    Withheld,
    judge,
    room,
)
from ablate.stats.family import anytime, correlation_of, dunnett, smallest_detectable, together
from ablate.stats.intervals import normal_to_t, t_to_normal
from ablate.stats.moderate import Floats
from ablate.stats.plain import FEWEST_SEEDS, score_spreads
from ablate.stats.sample import Bits, Sample

SHARE_OF_SEEDS = 0.75
"""Variant and baseline are paired if they share this part of the seeds that either of them has."""

NO_NOISE = Noise(0.0, 0.0, 1.0, 1.0)
"""Of a single seed."""


def effects(
    samples: Mapping[str, Sample],
    baseline: str,
    margin: float | None = None,
    *,
    looks: bool = False,
) -> dict[str, Effect]:
    """The effect of every variant but the baseline, in the order given.

    The family is every variant in the mapping, those without runs included, so that a verdict never
    becomes easier because other cells have not finished yet; samples that a search picked by are not
    in it and get no interval. With `looks` the intervals hold at
    every look, however many seeds are added (`--until-decided`), from three shared seeds on; without bits
    there are none such, and no verdict. Where the samples say what was predicted, images are drawn again
    for the intervals. Samples of folds have wider ones (`Sample.overlap`).

    Raises:
        UnknownNameError: the baseline is not in the mapping.
        OptionError: a score that is not finite, a margin that is not above 0, or bits of different
            numbers of images.
    """
    if baseline not in samples:
        raise unknown("baseline", baseline, samples)
    if margin is not None and not margin > 0:
        raise OptionError(f"an equivalence margin is above 0, not {margin}: write 0.005")
    _same_images(samples)
    family = _Family(samples, baseline, margin or DEFAULT_MARGIN, looks)
    # They are drawn for differences by seed, which say nothing of seeds that have nothing in common.
    drawn = _by_drawing_images(samples, baseline, family.margin) if family._may_pair else {}
    return {name: family.effect(name, drawn) for name in samples if name != baseline}


def _by_drawing_images(
    samples: Mapping[str, Sample], baseline: str, margin: float
) -> dict[str, Effect]:
    """The effects of a metric that is no mean over images; none where it is not known of every run what
    was predicted.
    """
    judged = {name: each for name, each in samples.items() if not each.picked_by}
    known = [each.predicted for each in judged.values() if each.predicted is not None]
    by_name = {name: _predictions(sample) for name, sample in judged.items()}
    short = any(len(by_name[name]) < len(judged[name].scores) for name in judged)
    if not known or short or baseline not in judged:
        return {}
    overlap = max(each.overlap for each in judged.values())
    given = by_name, known[0].labels, known[0].metric, baseline, margin
    return bootstrap_effects(*given, overlap=overlap)


def _predictions(sample: Sample) -> Mapping[int, NDArray[np.int64]]:
    return sample.predicted.by_seed if sample.predicted is not None else {}


def _same_images(samples: Mapping[str, Sample]) -> None:
    sizes = frozenset().union(*(sample.sizes for sample in samples.values()))
    if len(sizes) > 1:
        raise OptionError(
            f"runs were tested on different numbers of images ({sorted(sizes)}): compare runs of the "
            "same test images only"
        )


@dataclass(frozen=True)
class _Family:
    """All samples of a study, and what is asked of them."""

    samples: Mapping[str, Sample]
    baseline: str
    margin: float
    looks: bool
    _blocks: dict[tuple[int, ...], dict[str, Noise]] = field(default_factory=dict)
    _base: dict[tuple[int, ...], Bits] = field(default_factory=dict)

    def effect(self, name: str, drawn: Mapping[str, Effect]) -> Effect:
        by_images = drawn.get(name)
        found = by_images if by_images is not None and by_images.n > 1 else self._found(name)
        if not self.looks or found.verdict is Verdict.IDENTICAL or found.low is None:
            return found
        if found.rule is not Rule.ANYTIME:
            return found.withholding(Withheld.NO_LOOKS)
        few = found.n < FEWEST_AT_A_LOOK
        return found.withholding(Withheld.FEW_SHARED) if few else found

    def _found(self, name: str) -> Effect:
        own, base = self.samples[name], self.samples[self.baseline]
        if (own.picked_by and own.scores) or (base.picked_by and base.scores):
            return self._without(name, Rule.SEARCHED)
        if not own.scores or not base.scores:
            return self._without(name, Rule.NOTHING)
        with_bits = own.has_bits and base.has_bits
        shared = sorted(own.seeds & base.seeds)
        most = max(len(own.seeds), len(base.seeds))
        paired = self._may_pair and len(shared) >= (1 if self.looks else SHARE_OF_SEEDS * most)
        if with_bits and paired:
            return self._paired(name, shared)
        if min(len(own.seeds), len(base.seeds)) < 2:
            return self._without(name, Rule.NOTHING)
        return self._unpaired(name) if with_bits else self._by_scores(name)

    def _paired(self, name: str, seeds: list[int]) -> Effect:
        """Beside every arm that has these seeds: they say how much trainings vary."""
        arms = self._arms_with(tuple(seeds))
        noise, base_noise = arms[name], arms[self.baseline]
        mine, base = self.samples[name].bits_at(seeds), self._baseline_at(tuple(seeds))
        difference = float(mine.mean() - base.mean())
        if len(seeds) == 1:
            return self._single(name, mine[0], base[0])
        spread = spread_of(mine, base, noise, base_noise, self._overlap)
        critical = anytime(self._size, len(seeds)) if self.looks else dunnett(self._size)
        rule = Rule.ANYTIME if self.looks else Rule.BLOCKS
        found = self._judged(name, rule, (len(seeds),) * 2, difference, spread, critical)
        # Its interval is that of a difference that is 0 on every image, as narrow as the images allow.
        return replace(found, verdict=Verdict.IDENTICAL) if np.array_equal(mine, base) else found

    def _unpaired(self, name: str) -> Effect:
        noise, base_noise = self._arms[name], self._arms[self.baseline]
        mine = self.samples[name].bits_at(sorted(self.samples[name].seeds))
        base = self._baseline_at(tuple(sorted(self.samples[self.baseline].seeds)))
        spread = spread_of(mine, base, noise, base_noise, self._overlap)
        critical = dunnett(self._size, correlation_of(len(mine), len(base)))
        difference = float(mine.mean() - base.mean())
        counts = len(mine), len(base)
        return self._judged(name, Rule.UNPAIRED, counts, difference, spread, critical)

    def _by_scores(self, name: str) -> Effect:
        """Intervals always, a verdict from eight seeds on."""
        (mine, spread), (base, _) = self._scored[name], self._scored[self.baseline]
        counts = len(mine), len(base)
        critical = dunnett(self._size, correlation_of(*counts))
        difference = float(mine.mean() - base.mean())
        found = self._judged(name, Rule.SCORES, counts, difference, spread, critical)
        few = min(counts) < FEWEST_SEEDS and found.low is not None
        return found.withholding(Withheld.FEW_SEEDS) if few else found

    @cached_property
    def _scored(self) -> dict[str, tuple[Floats, Spread | None]]:
        """Scores of every arm with two seeds or more, and the spread of its difference to the baseline."""
        arms = self._with_runs(lambda sample: len(sample.seeds) > 1)
        seeds = [sorted(self.samples[arm].seeds) for arm in arms]
        blocks = self._may_pair and all(each == seeds[0] for each in seeds)
        scores = [self.samples[arm].at(its) for arm, its in zip(arms, seeds, strict=True)]
        images = self.samples[self.baseline].images
        spreads = score_spreads(scores, blocks=blocks, images=images, overlap=self._overlap)
        return dict(zip(arms, zip(scores, [None, *spreads], strict=True), strict=True))

    def _single(self, name: str, mine: Bits, base: Bits) -> Effect:
        """McNemar's exact test, which says nothing about another seed: no interval, no verdict."""
        gained, lost = int((mine & ~base).sum()), int((base & ~mine).sum())
        verdict = Verdict.UNDECIDED if gained or lost else Verdict.IDENTICAL
        found = self._without(name, Rule.MCNEMAR, 1)
        difference = (gained - lost) / len(mine)
        return replace(found, difference=difference, verdict=verdict, p=mcnemar(gained, lost))

    def _judged(
        self,
        name: str,
        rule: Rule,
        counts: tuple[int, int],
        difference: float,
        spread: Spread | None,
        critical: float,
    ) -> Effect:
        if spread is None:
            return self._without(name, rule)
        half = normal_to_t(critical, spread.dof) * spread.error
        low, high = difference - half, difference + half
        could = smallest_detectable(spread.error, spread.dof, critical)
        return Effect(
            variant=name,
            baseline=self.baseline,
            n=counts[0],
            n_baseline=counts[1],
            difference=difference,
            low=low,
            high=high,
            verdict=judge(low, high, self.margin),
            rule=rule,
            margin=self.margin,
            smallest_detectable=min(could, self._room),
            room=self._room,
            p_adjusted=self._adjusted(difference, spread, counts),
            critical=critical,
            spread=spread,
        )

    def _without(self, name: str, rule: Rule, n: int | None = None) -> Effect:
        """An effect without an interval."""
        own, base = self.samples[name], self.samples[self.baseline]
        return Effect(
            variant=name,
            baseline=self.baseline,
            n=len(own.scores) if n is None else n,
            n_baseline=len(base.scores) if n is None else n,
            difference=None if own.mean is None or base.mean is None else own.mean - base.mean,
            low=None,
            high=None,
            verdict=Verdict.UNDECIDED,
            rule=rule,
            margin=self.margin,
            room=self._room,
        )

    def _baseline_at(self, seeds: tuple[int, ...]) -> Bits:
        """The baseline's bits, unpacked once for all variants that have the same seeds."""
        if seeds not in self._base:
            self._base.clear()
            self._base[seeds] = self.samples[self.baseline].bits_at(seeds)
        return self._base[seeds]

    def _arms_with(self, seeds: tuple[int, ...]) -> dict[str, Noise]:
        """The noise of every arm that has these seeds; the baseline first."""
        if seeds not in self._blocks:
            wanted = set(seeds)
            names = self._with_runs(lambda sample: sample.correct.keys() >= wanted)
            bits = (self.samples[arm].bits_at(seeds) for arm in names)
            noise = block_noise(bits) if len(seeds) > 1 else [NO_NOISE] * len(names)
            self._blocks[seeds] = dict(zip(names, noise, strict=True))
        return self._blocks[seeds]

    @cached_property
    def _arms(self) -> dict[str, Noise]:
        """The noise of every arm with two seeds or more, whichever they are; the baseline first."""
        names = self._with_runs(lambda sample: sample.has_bits and len(sample.seeds) > 1)
        bits = (self.samples[arm].bits_at(sorted(self.samples[arm].seeds)) for arm in names)
        return dict(zip(names, unpaired_noise(bits), strict=True))

    def _with_runs(self, enough: Callable[[Sample], bool]) -> list[str]:
        others = [name for name in self.samples if name != self.baseline]
        known = [name for name in others if not self.samples[name].picked_by]
        return [arm for arm in (self.baseline, *known) if enough(self.samples[arm])]

    @cached_property
    def _may_pair(self) -> bool:
        return all(each.paired for each in self.samples.values())

    @cached_property
    def _size(self) -> int:
        others = (each for name, each in self.samples.items() if name != self.baseline)
        return sum(not each.picked_by for each in others)

    @cached_property
    def _overlap(self) -> float:
        return max(each.overlap for each in self.samples.values())

    @cached_property
    def _room(self) -> float:
        """The largest difference to the baseline that the metric can have."""
        baseline = self.samples[self.baseline]
        return room(baseline.mean, baseline.bounds)

    def _adjusted(self, difference: float, spread: Spread, counts: tuple[int, int]) -> float | None:
        """The p at which the simultaneous interval would just exclude 0; a look has none."""
        if self.looks or not spread.error:
            return None
        out = t_to_normal(abs(difference) / spread.error, spread.dof)
        return max(0.0, 1 - together(out, self._size, correlation_of(*counts)))


def mcnemar(gained: int, lost: int) -> float:
    """The exact two-sided p that two networks are right on as many images (McNemar 1947).

    `gained` and `lost` are the images that only the one or only the other classifies correctly.
    """
    fewer, both = min(gained, lost), gained + lost
    return min(1.0, 2 * float(special.bdtr(fewer, both, 0.5))) if both else 1.0
