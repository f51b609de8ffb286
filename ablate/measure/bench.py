"""What throughput and profile share: variants ready to step on one real batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from ablate.attention import use_kernels
from ablate.datasets.base import Dataset
from ablate.model import build
from ablate.study import Recipe, Variant
from ablate.train.data import Batch, load_data, train_batches
from ablate.train.precision import Precision, choose_precision, device_name, prepare_device
from ablate.train.step import Trainer, make_trainer

SEED = 1


@dataclass(frozen=True)
class Subject:
    """A variant to be measured, and the fingerprint under which it is stored."""

    variant: Variant
    fingerprint: str


@dataclass(frozen=True)
class Setting:
    """Under what all subjects are measured: the study's own recipe, images and device, and the paths
    of attention with which they were trained.
    """

    recipe: Recipe
    dataset: Dataset
    device: str
    kernels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """A device with one augmented batch of the study's size on it."""

    setting: Setting
    device: torch.device
    device_name: str
    precision: Precision
    batch: Batch

    def trainer(self, subject: Subject) -> Trainer:
        """The subject with fresh weights, ready to step."""
        dataset = self.setting.dataset
        net = build(subject.variant, len(dataset.classes()), dataset.image_size, SEED)
        use_kernels(net, self.setting.kernels)
        return make_trainer(net, self.setting.recipe, self.device, self.precision)

    def synchronise(self) -> None:
        """Wait until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def make_bench(setting: Setting) -> Bench:
    """Prepare the device as training does: the same threads, precision, images and batch size."""
    device = prepare_device(setting.device)
    recipe = setting.recipe
    data = load_data(setting.dataset, recipe.split, recipe.validation_fraction, device)
    images, labels = next(train_batches(data, recipe, SEED, epoch=1))
    # A training set smaller than a batch is measured at the batch size all the same.
    rows = torch.arange(recipe.batch_size, device=device) % len(labels)
    batch = images[rows].contiguous(memory_format=torch.channels_last), labels[rows]
    precision = choose_precision(recipe.precision, device)
    return Bench(setting, device, device_name(device), precision, batch)
