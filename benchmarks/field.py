"""What every contestant gets: the same network, the same images, the same number of steps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from ablate.attention import complete
from ablate.datasets import Dataset, open_dataset
from ablate.datasets.base import Images
from ablate.model import build
from ablate.study import Recipe, Variant
from ablate.study.file import load_study

IMAGE_SIZE = 32
LEARNING_RATE = 1e-3
SEED = 1

VARIANTS = {
    "none": Variant("cbam_cnn"),
    "se": Variant("cbam_cnn", "se", "pool*", (("reduction", 16),)),
    "cbam": Variant("cbam_cnn", "cbam", "pool*", (("reduction", 16), ("kernel_size", 7))),
}
"""The networks of the comparison, by the name of their attention."""

REFERENCE = Path(__file__).parents[1] / "studies" / "attention.toml"

RECIPE = Recipe(schedule="constant", precision="amp")
"""The tutorial's: batches of 64, Adam, crop, flip, colour, rotation. Without its schedule, which
costs nothing."""


def reference_grid() -> tuple[Variant, ...]:
    """All networks of the reference grid, with every option that they stand for."""
    return tuple(complete(variant) for variant in load_study(REFERENCE).variants())


@dataclass(frozen=True)
class Field:
    """One comparison. A contestant's lap is one epoch over `steps` batches of 64 images.

    `data` None stands for the digits, which need no download.
    """

    attention: str
    steps: int
    data: Path | None = None
    device: str = "cpu"
    batch_size: int = RECIPE.batch_size

    @property
    def recipe(self) -> Recipe:
        """How those train who can take another batch size than the tutorial's."""
        return RECIPE.model_copy(update={"batch_size": self.batch_size})

    @property
    def variant(self) -> Variant:
        return VARIANTS[self.attention]

    @property
    def dataset(self) -> Dataset:
        return open_dataset("digits", self.data, IMAGE_SIZE)

    def images(self, steps: int | None = None) -> Images:
        """The training images of a lap of `steps` batches (all, unless set), the classes mixed.

        A dataset with fewer images gives some of them more than once.
        """
        images = self.dataset.load()
        count = (steps or self.steps) * RECIPE.batch_size
        order = np.random.default_rng(SEED).permutation(len(images.train_labels))
        rows = np.resize(order, count)
        return Images(
            images.label,
            images.classes,
            images.train_images[rows],
            images.train_labels[rows],
            images.test_images,
            images.test_labels,
            images.mean,
            images.std,
        )

    def net(self) -> nn.Module:
        """The network on the CPU: everybody starts from the same weights, in plain modules."""
        return build(self.variant, len(self.dataset.classes()), IMAGE_SIZE, SEED)


@dataclass(frozen=True)
class Entry:
    """Who runs, and what it may choose about itself; `cohort`, `workers` and `step_path` are ours alone.

    `epochs` makes a lap longer for those whose laps would be too short to time.
    """

    player: str
    loader_workers: int = 0
    precision: str = "fp32"
    cohort: int = 1
    workers: int = 1
    step_path: str = "eager"
    epochs: int = 1
