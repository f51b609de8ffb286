"""Selection: the best is picked on validation images and told by test images, and how lucky it is.

The best of many is lucky as well as good. How much its mean owes to its seeds is estimated by
thinning: noise is added to all means and taken away from their second copies, which are then
independent of the first, so that whoever picks by the first sees the second without luck
(Neufeld et al., JMLR 2024). Leaving one seed out does the same with twice the spread.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ablate.stats import words
from ablate.stats.effect import Effect
from ablate.stats.intervals import finite
from ablate.stats.moderate import Floats, residuals
from ablate.system.messages.language import _

THINNING = 0.5
"""The variance of the noise that is added, as a share of the means' own."""
DRAWS, SEED = 20_000, 0

BySeed = Mapping[int, float]


def told_fresh(metric: str = "accuracy") -> str:
    """What `ablate search` removes by confirming, and what it does not, by a metric's title."""
    return _(
        "Fresh seeds take away the luck of the seeds that a variant was picked by. "
        "In validation {metric} they do not take away that of the validation images, "
        "which are the same. The verdict is therefore of test images, by the fresh "
        "seeds alone.",
        metric=metric,
    )


@dataclass(frozen=True, slots=True)
class Selection:
    """The pick of `of` arms by their mean validation accuracy, `validation`, over `n` seeds.

    `optimism` is by how much that mean is too high in expectation because it was the highest; None
    where its seeds cannot tell.
    """

    picked: str
    of: int
    n: int
    validation: float
    optimism: float | None


def select(validation: Mapping[str, BySeed], *, paired: bool = True) -> Selection | None:
    """The arm with the highest mean; of equal ones the first. None where no arm has a score."""
    there = {name: scores for name, scores in validation.items() if scores}
    if not there:
        return None
    means = {name: float(finite(list(scores.values())).mean()) for name, scores in there.items()}
    picked = max(means, key=lambda name: means[name])
    return Selection(
        picked, len(there), len(there[picked]), means[picked], optimism(there, paired=paired)
    )


def optimism(validation: Mapping[str, BySeed], *, paired: bool = True) -> float | None:
    """By how much the highest of these means lies above what new seeds would give it.

    None with a single arm, or where no arm has two seeds.
    """
    variance = run_variance(validation, paired=paired)
    if len(validation) < 2 or variance is None:
        return None
    means = np.array([np.mean(list(scores.values())) for scores in validation.values()])
    errors = np.sqrt(variance / np.array([len(scores) for scores in validation.values()]))
    drawn = np.random.default_rng(SEED).standard_normal((DRAWS, len(means)))
    best = (means + math.sqrt(THINNING) * errors * drawn).argmax(1)
    noise = errors * drawn
    # All arms' mean noise is 0 in expectation; without it fewer draws tell as much.
    luck = (noise[np.arange(DRAWS), best] - noise.mean(1)).mean()
    # The first copies vary more than the means do, by which their luck is larger.
    scale = (math.sqrt(THINNING) + 1 / math.sqrt(THINNING)) / math.sqrt(1 + THINNING)
    return float(scale * luck)


def run_variance(validation: Mapping[str, BySeed], *, paired: bool = True) -> float | None:
    """The variance of one run that an arm does not share with the others of its seed.

    From shared seeds as blocks that are `paired` where all arms have the same ones, else within each arm.
    """
    seeds = {tuple(sorted(scores)) for scores in validation.values()}
    if paired and len(seeds) == 1 and len(validation) > 1:
        order = next(iter(seeds))
        table = np.array([[scores[s] for s in order] for scores in validation.values()])
        dof = (len(table) - 1) * (len(order) - 1)
        return float((residuals(table) ** 2).sum() / dof) if dof else None
    arms = [np.array(list(scores.values())) for scores in validation.values()]
    dof = sum(len(arm) - 1 for arm in arms)
    return sum(map(_squares, arms)) / dof if dof else None


def _squares(arm: Floats) -> float:
    return float(((arm - arm.mean()) ** 2).sum())


def picked_claim(
    found: Selection, effect: Effect | None, baseline: str, metric: str = "accuracy"
) -> str:
    """Who is best on validation images, and what test images say of it."""
    name = _(
        "{picked} has the highest mean validation {metric} of {of}",
        picked=found.picked,
        metric=metric,
        of=found.of,
    )
    if effect is None:
        return _("{name}, the baseline included: no variant is picked.", name=name)
    return _(
        "{name}, {baseline} included. On test images: {claim}",
        name=name,
        baseline=baseline,
        claim=words.claim(effect),
    )


def picked_evidence(found: Selection, effect: Effect | None, metric: str = "accuracy") -> str:
    """How lucky the pick is, and which luck is in none of these numbers."""
    lucky = (
        _(
            "How much of its validation {metric} is luck cannot be told from these seeds.",
            metric=metric,
        )
        if found.optimism is None
        else _(
            "The best of {of} is lucky as well as good: its validation mean over {n} "
            "seeds is estimated to be {optimism} points too high by its seeds alone; the "
            "luck of the validation images, the same for all seeds, comes on top.",
            of=found.of,
            n=found.n,
            optimism=words.size(found.optimism),
        )
    )
    if effect is None or effect.low is None:
        return lucky
    return _(
        "{lucky} Its test effect is {difference} points ({interval}): that interval holds "
        "for all variants together, so being picked does not spoil it.",
        lucky=lucky,
        difference=words.points(effect.difference),
        interval=words.span(effect.low, effect.high),
    )
