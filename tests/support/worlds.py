"""Made-up studies whose truth is known: bits of every run, with noise of images, of arms and of trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import special

from ablate.stats import Sample


def make_samples(
    rng: np.random.Generator,
    names: Sequence[str],
    *,
    seeds: int,
    images: int = 300,
    ratio: float = 1.0,
    image_by_arm: float = 1.0,
    shifts: Mapping[str, float] | None = None,
) -> dict[str, Sample]:
    """Bits of each arm. On new images all arms are equally good but for the `shifts` of their logits.

    Whole trainings vary `ratio` times as much as independent images would make them.
    """
    arms = len(names)
    shift = np.array([(shifts or {}).get(name, 0.0) for name in names])
    logits = rng.normal(3, 3, images) + rng.normal(0, image_by_arm, (arms, images)) + shift[:, None]
    right = special.expit(logits)
    spread, slope = (right * (1 - right)).sum(1) / images**2, (right * (1 - right)).mean(1)
    training = (
        rng.normal(0, 1, (arms, seeds)) * np.sqrt((ratio - 1) * spread)[:, None] / slope[:, None]
    )
    chance = special.expit(logits[:, None] + training[:, :, None])
    bits = rng.random(chance.shape) < chance
    return {n: Sample.of_bits(dict(enumerate(own, 1))) for n, own in zip(names, bits, strict=True)}
