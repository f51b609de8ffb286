"""Augmentation alone, on one core: ours in batches against Pillow, image by image, the tutorial's chain and
each augmentation by itself.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict
from time import perf_counter
from typing import Any

import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import v2

from ablate.datasets import augment as by_batch
from ablate.datasets.augment import augment
from ablate.datasets.base import Images
from ablate.datasets.moves import CROP_PADDING
from ablate.system.hardware.machine import prepare_machine
from ablate.train.data import CHUNK, to_device
from benchmarks.field import RECIPE, SEED
from benchmarks.options import Options, watch
from benchmarks.pictures import Pictures
from benchmarks.race import interleaved
from benchmarks.statistics import ratio_of

CHUNKS = 4
"""How many chunks a round has; training augments one after the other."""

Work = Callable[[], None]


def measure_augmentation(options: Options) -> dict[str, Any]:
    """Microseconds an image, from bytes to a normalised tensor, on the CPU with one thread; and of each
    augmentation, from bytes to bytes.
    """
    prepare_machine("cpu")
    steps = max(
        1, (CHUNKS * CHUNK if not options.short else RECIPE.batch_size) // RECIPE.batch_size
    )
    images = options.field("none").images(steps)
    whole = _compared(_chain(images), len(images.train_labels), options)
    each = {
        name: _compared(_alone(name, peer, images), len(images.train_labels), options)
        for name, peer in peers().items()
    }
    return {"images_per_round": len(images.train_labels), **whole, "each": each}


def peers() -> dict[str, Callable[[Any], Any]]:
    """Each augmentation as torchvision has it, for a Pillow object; erasing is for tensors there too."""
    jitter, padding = by_batch.JITTER, CROP_PADDING
    erasing = v2.RandomErasing()
    return {
        "crop": transforms.RandomCrop(32, padding),
        "flip": transforms.RandomHorizontalFlip(by_batch.FLIP_PROBABILITY),
        "color": transforms.ColorJitter(jitter, jitter, jitter, hue=by_batch.HUE_JITTER),
        "rotate": transforms.RandomRotation(by_batch.ROTATION_DEGREES),
        "resized_crop": transforms.RandomResizedCrop(32),
        "translate": transforms.RandomCrop(32, 2, padding_mode="reflect"),
        "erase": lambda picture: erasing(v2.functional.pil_to_tensor(picture)),
        "trivial_augment": transforms.TrivialAugmentWide(),
        "rand_augment": transforms.RandAugment(),
    }


def _chain(images: Images) -> tuple[Work, Work]:
    pictures = Pictures(images)
    data = to_device(images, "tutorial", 0.0, torch.device("cpu"))
    pixels = data.train.images[:]
    draws = torch.Generator().manual_seed(SEED)

    def ours() -> None:
        for chunk in pixels.split(CHUNK):
            data.normalise(augment(chunk, RECIPE.augment, draws))

    def pillow() -> None:
        for row in range(len(pictures)):
            pictures[row]

    return ours, pillow


def _alone(name: str, peer: Callable[[Any], Any], images: Images) -> tuple[Work, Work]:
    pixels = to_device(images, "tutorial", 0.0, torch.device("cpu")).train.images[:]
    draws = torch.Generator().manual_seed(SEED)

    def ours() -> None:
        for chunk in pixels.split(CHUNK):
            augment(chunk, (name,), draws)

    def pillow() -> None:
        for pixels in images.train_images:
            peer(Image.fromarray(pixels))

    return ours, pillow


def _compared(works: tuple[Work, Work], images: int, options: Options) -> dict[str, Any]:
    us = _interleaved(works, options.rounds, 1e6 / images)
    return {
        "us_per_image": {
            name: statistics.median(own) for name, own in zip(("ours", "pillow"), us, strict=True)
        },
        "ratio": asdict(ratio_of(us[1], us[0])),
    }


def _interleaved(works: tuple[Work, ...], rounds: int, factor: float) -> list[list[float]]:
    """Seconds × factor of each work in each round, after one call for warming up."""
    times: list[list[float]] = [[] for _ in works]
    for work in works:
        work()
    seen = watch("augmentation")
    for number in range(rounds):
        for i in interleaved(len(works), number):
            started = perf_counter()
            works[i]()
            times[i].append((perf_counter() - started) * factor)
        seen(number + 1, rounds)
    return times
