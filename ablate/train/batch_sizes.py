"""The sizes of batches that a step must be proven on. No torch needed."""

from __future__ import annotations

from ablate.study import Recipe
from ablate.study.batches import epoch_images

MOST_VALUES = 2**17
"""Pixels of a batch in all: larger batches are proven with fewer images, which fail in the same ways."""
FEWEST_IMAGES = 4


def batch_sizes_of(images: int | None, recipe: Recipe, image_size: int) -> tuple[int, ...]:
    """The sizes of batches that an epoch over so many images has: the whole one, made smaller where that
    is much work, and the last one where it is another.
    """
    whole = recipe.step_images if images is None else min(recipe.step_images, images)
    small = max(FEWEST_IMAGES, MOST_VALUES // image_size**2)
    left = 0 if images is None or images < recipe.step_images else epoch_images(images, recipe)
    rest = left % recipe.step_images
    last = (rest,) if 0 < rest < min(whole, small) else ()
    return (min(whole, small), *last)
