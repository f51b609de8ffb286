"""Which images of an epoch make no batch: one that would be alone in the last of them."""

from __future__ import annotations

from ablate.study.recipe import Recipe


def left_out(images: int, recipe: Recipe) -> int:
    """How many of so many training images an epoch leaves out, 0 or 1; another one in each epoch.

    A batch of one image has no variance: batch norm on maps of one place refuses it, after a whole epoch,
    and elsewhere learns a noise that no other batch has.
    """
    return int(images > recipe.batch_size and images % recipe.batch_size == 1)


def epoch_images(images: int, recipe: Recipe) -> int:
    """How many of so many training images an epoch trains on."""
    return images - left_out(images, recipe)
