"""What throughput and profile share: variants ready to step on one real batch."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

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
    of attention that were measured to be faster there.
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

    def network(self, subject: Subject) -> nn.Module:
        """The subject on the CPU, with the weights that it has before training."""
        dataset = self.setting.dataset
        net = build(subject.variant, len(dataset.classes()), dataset.image_size, SEED)
        use_kernels(net, self.setting.kernels)
        return net

    def trainer(self, subject: Subject) -> Trainer:
        """The subject with fresh weights, ready to step."""
        return self.trainer_of(self.network(subject))

    def trainer_of(self, net: nn.Module) -> Trainer:
        """A copy of a network on the device, ready to step; the network stays as it is."""
        return make_trainer(copy.deepcopy(net), self.setting.recipe, self.device, self.precision)

    def seconds(self, work: Callable[[], object], repeats: int) -> float:
        """Seconds for that many calls; the device is waited for only before and after."""
        self.synchronise()
        started = time.perf_counter()
        for _ in range(repeats):
            work()
        self.synchronise()
        return time.perf_counter() - started

    def peak_memory_mib(self, *, anew: bool = False) -> float | None:
        """The most memory that torch has held on the device, from now on if `anew`; None for a CPU."""
        if self.device.type != "cuda":
            return None
        if anew:
            torch.cuda.reset_peak_memory_stats(self.device)
        return torch.cuda.max_memory_allocated(self.device) / 2**20

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
