"""The sizes of batches that a step must be proven on. No torch needed."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.study import Recipe
from ablate.study.batches import epoch_images

MOST_VALUES = 2**17
"""Pixels of a batch in all: larger batches are proven with fewer images, which fail in the same ways."""
FEWEST_IMAGES = 4


def all_batch_sizes(counts: Sequence[int], recipe: Recipe, image_size: int) -> tuple[int, ...]:
    """Those of epochs over each of these numbers of images, which folds of a data set may differ in; of none
    those that any number has. The largest first.
    """
    each = [batch_sizes_of(count, recipe, image_size) for count in counts or (None,)]
    return tuple(sorted({size for sizes in each for size in sizes}, reverse=True))


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
