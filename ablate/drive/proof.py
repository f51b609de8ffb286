"""The networks of a plan take a training step each before any of them is trained."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from ablate.datasets import cache
from ablate.datasets.split import stratified_draw, stratified_split
from ablate.measure.step_proof import StepAsked, batch_sizes_of, prove_step
from ablate.placement import find_targets
from ablate.plan import Plan
from ablate.study import PROTOCOL, Variant
from ablate.study.variant import NO_ATTENTION
from ablate.system.digest import digest
from ablate.system.imports import prints_to_stderr
from ablate.system.machine import Machine

PROVEN_IMAGES = 8
"""Of variants with attention: what the whole batch could show, the backbone alone has shown."""


@prints_to_stderr()
def prove_plan(
    plan: Plan, machine: Machine, images: int | None, watch: Callable[[int, int], None]
) -> None:
    """Prove each distinct structure of a plan: a backbone, a kind of attention and its places. What was
    proven before is not proven again; `images` is how many there are to train on.

    Raises:
        PlacementError: a network that cannot be trained, or attention that does not reach the loss.
    """
    recipe, dataset = plan.study.recipe, plan.dataset
    classes, side = len(dataset.classes()), dataset.image_size
    sizes = batch_sizes_of(images, recipe, side)
    variants = _structures(plan, classes)
    watch(0, len(variants))
    for done, (variant, fingerprint) in enumerate(variants):
        some = sizes if variant.attention == NO_ATTENTION else _fewer(sizes)
        asked = StepAsked(variant, classes, side, some, recipe, machine)
        name = f"proof-{_key(asked, fingerprint)}"
        if cache.load_json(name) is None:
            prove_step(asked)
            cache.store_json(name, {"proven": True})
        watch(done + 1, len(variants))


def trained_images(plan: Plan, labels: NDArray[np.int64] | None) -> int | None:
    """How many images are trained on, without those that are held out; None where nobody knows yet.

    Raises:
        DataError: nothing can be held out, or `data.train_images` cannot be drawn.
    """
    recipe, drawn = plan.study.recipe, plan.study.data.train_images
    if labels is None:
        return drawn
    if recipe.split != "tutorial":
        kept, _ = stratified_split(labels, recipe.validation_fraction)
        labels = labels[kept]
    return len(labels if drawn is None else stratified_draw(labels, drawn, seed=0))


def _structures(plan: Plan, classes: int) -> list[tuple[Variant, str]]:
    """One variant for each structure, with its fingerprint; the backbone without attention comes first."""
    found: dict[tuple[str, str, tuple[str, ...]], tuple[Variant, str]] = {}
    for cell in plan.cells:
        variant = cell.variant
        paths = tuple(
            target.attached for target in find_targets(variant, classes, plan.dataset.image_size)
        )
        key = (variant.backbone, variant.attention, paths)
        found.setdefault(key, (variant, cell.architecture.fingerprint))
    return sorted(found.values(), key=lambda pair: pair[0].attention != NO_ATTENTION)


def _fewer(sizes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(min(size, PROVEN_IMAGES) for size in sizes))


def _key(asked: StepAsked, fingerprint: str) -> str:
    """What a proof holds for: the network, how it is stepped, and by which torch."""
    machine = asked.machine
    return digest(
        {
            "fingerprint": fingerprint,
            "classes": asked.classes,
            "sizes": asked.batch_sizes,
            "recipe": [asked.recipe.optimizer, asked.recipe.precision],
            "machine": [machine.device.type, machine.precision.name],
            "torch": torch.__version__,
            "protocol": PROTOCOL,
        }
    )
