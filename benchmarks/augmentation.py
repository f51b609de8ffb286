"""The tutorial's augmentation alone, on one core: our batched chain against Pillow, image by image."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict
from time import perf_counter
from typing import Any

import torch

from ablate.datasets.augment import augment
from ablate.system.machine import prepare_machine
from ablate.train.data import CHUNK, to_device
from benchmarks.field import RECIPE, SEED
from benchmarks.options import Options, watch
from benchmarks.pictures import Pictures
from benchmarks.race import interleaved
from benchmarks.statistics import ratio_of

CHUNKS = 4
"""How many chunks a round has; training augments one after the other."""


def measure_augmentation(options: Options) -> dict[str, Any]:
    """Microseconds an image, from bytes to a normalised tensor, on the CPU with one thread."""
    prepare_machine("cpu")
    steps = max(
        1, (CHUNKS * CHUNK if not options.short else RECIPE.batch_size) // RECIPE.batch_size
    )
    images = options.field("none").images(steps)
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

    us = _interleaved((ours, pillow), options.rounds, 1e6 / len(pictures))
    return {
        "images_per_round": len(pictures),
        "us_per_image": {
            name: statistics.median(own) for name, own in zip(("ours", "pillow"), us, strict=True)
        },
        "ratio": asdict(ratio_of(us[1], us[0])),
    }


def _interleaved(
    works: tuple[Callable[[], None], ...], rounds: int, factor: float
) -> list[list[float]]:
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
