"""Effects of a metric that is no mean over images (macro F1, AUROC): images drawn again, seeds as blocks.

The bootstrap over images gives their variance and what each run's own errors add to it, but for classes
of few images (`rare`); what
trainings vary by beyond that is moderated as in `anchored`. Seeds are not drawn again: of three, a
third is left out, and percentiles of a bootstrap are too short by far.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ablate.errors import OptionError, unknown
from ablate.stats.anchored import FEWEST_DOF, PRIOR_DOF, PRIOR_RATIO, Spread
from ablate.stats.effect import DEFAULT_MARGIN, Effect, Rule, Verdict, judge, room
from ablate.stats.family import dunnett, smallest_detectable
from ablate.stats.intervals import normal_to_t
from ablate.stats.metrics import OF_PREDICTIONS, count
from ablate.stats.rare import OfClasses, of_classes

Classes = NDArray[np.int64]
"""The number of a class for each image, shape (images,)."""

REPEATS = 400
"""The standard error is then known to 3.5 %."""


def bootstrap_effects(
    predicted: Mapping[str, Mapping[int, Classes]],
    labels: Classes,
    metric: str,
    baseline: str,
    margin: float = DEFAULT_MARGIN,
    *,
    overlap: float = 0.0,
) -> dict[str, Effect]:
    """The effect of every variant but the baseline on a metric, from what each run predicted by seed.
    The metric is one of `OF_PREDICTIONS`.

    Variant and baseline are compared on the seeds that they share. `overlap` is that of
    `anchored.spread_of`.

    Raises:
        UnknownNameError: the baseline is not in the mapping.
        OptionError: predictions of another number of images than there are labels.
    """
    if baseline not in predicted:
        raise unknown("baseline", baseline, predicted)
    if any(len(each) != len(labels) for runs in predicted.values() for each in runs.values()):
        raise OptionError(f"every run predicts the {len(labels):,} images that have labels")
    weights = _image_weights(len(labels))
    scores = {
        name: {
            seed: OF_PREDICTIONS[metric](count(labels, each, weights))
            for seed, each in runs.items()
        }
        for name, runs in predicted.items()
    }
    base = scores.pop(baseline)
    pairs = {name: _differences(runs, base) for name, runs in scores.items()}
    ratio, dof = _ratio([each for each in pairs.values() if len(each) > 1])
    most = room(float(np.mean([each[0] for each in base.values()])) if base else None)
    found = {}
    for name, each in pairs.items():
        images = of_classes(predicted[name], predicted[baseline], labels) if len(each) > 1 else None
        spread = _spread(each, images, ratio, dof, overlap)
        effect = _effect(name, baseline, each, spread, len(pairs), margin)
        found[name] = _within(effect, most)
    return found


def _within(effect: Effect, most: float) -> Effect:
    """The effect, in the room that a difference to this baseline has."""
    seen = effect.smallest_detectable
    return replace(effect, room=most, smallest_detectable=None if seen is None else min(seen, most))


def _image_weights(images: int) -> NDArray[np.float64]:
    """How often each image is drawn in each repeat, the first of which is the test set as it is."""
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(images, np.full(images, 1 / images), size=REPEATS)
    return np.concatenate([np.ones((1, images)), drawn])


def _differences(
    mine: Mapping[int, NDArray[np.float64]], base: Mapping[int, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Shape: (shared seeds, 1 + repeats)."""
    seeds = sorted(mine.keys() & base.keys())
    drawn = next(iter(base.values()), np.zeros(1 + REPEATS)).shape[0]
    return np.array([mine[seed] - base[seed] for seed in seeds]).reshape(len(seeds), drawn)


def _parts(differences: NDArray[np.float64]) -> tuple[float, float, float]:
    """The variance over drawn images of the mean, that of one run beyond it, and that over seeds."""
    seeds, drawn = len(differences), differences[:, 1:]
    of_mean = float(drawn.mean(0).var(ddof=1))
    own = drawn - drawn.mean(0)
    independent = float(own.var(1, ddof=1).sum()) / (seeds - 1)
    return of_mean, independent, float(differences[:, 0].var(ddof=1))


def _ratio(pairs: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """How many times as much trainings vary as independent errors do, in all pairs, and how well known."""
    parts = [_parts(each) for each in pairs]
    independent, by_seed = (sum(part[i] for part in parts) for i in (1, 2))
    # Two pairs share their baseline, so together they are worth about one and a half.
    together = sum(len(each) - 1 for each in pairs)
    found = by_seed / independent if independent else 1.0
    if together >= FEWEST_DOF:
        return found, together / 2
    known = PRIOR_DOF + together / 2
    return (PRIOR_DOF * PRIOR_RATIO + together / 2 * found) / known, known


def _spread(
    differences: NDArray[np.float64],
    of_images: OfClasses | None,
    ratio: float,
    dof: float,
    overlap: float,
) -> Spread | None:
    if len(differences) < 2 or not differences.any():
        return None
    seeds = len(differences)
    of_mean, independent, _ = _parts(differences)
    image_dof = float(REPEATS - 1)
    if of_images is not None:
        of_mean, image_dof = of_mean + of_images.missing, min(image_dof, of_images.dof)
    beyond = max(ratio - 1, 0.0) * independent
    excess = beyond * (1 / seeds + overlap)
    variance, here = of_mean + excess, ratio * independent / seeds
    if not variance:
        return None
    known = ratio * independent * (1 / seeds + overlap)
    below = of_mean**2 / image_dof + (known**2 / dof if excess else 0.0)
    images, of_seeds = max(0.0, of_mean - independent / seeds), max(ratio, 1.0) * independent
    error, here_error, lasting = math.sqrt(variance), math.sqrt(here), beyond * overlap
    return Spread(error, variance**2 / below, images, of_seeds, here_error, dof, lasting)


def _effect(
    name: str,
    baseline: str,
    differences: NDArray[np.float64],
    spread: Spread | None,
    family: int,
    margin: float,
) -> Effect:
    n, critical = len(differences), dunnett(family)
    difference = float(differences[:, 0].mean()) if n else None
    if spread is None or difference is None:
        same = Verdict.UNDECIDED if differences.any() or not n else Verdict.IDENTICAL
        rule = Rule.BOOTSTRAP if n > 1 else Rule.NOTHING
        return Effect(name, baseline, n, n, difference, None, None, same, rule, margin)
    half = normal_to_t(critical, spread.dof) * spread.error
    low, high = difference - half, difference + half
    return Effect(
        variant=name,
        baseline=baseline,
        n=n,
        n_baseline=n,
        difference=difference,
        low=low,
        high=high,
        verdict=judge(low, high, margin),
        rule=Rule.BOOTSTRAP,
        margin=margin,
        smallest_detectable=smallest_detectable(spread.error, spread.dof, critical),
        critical=critical,
        spread=spread,
    )
