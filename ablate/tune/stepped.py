"""A cohort stepped through a few batches: what that takes, and how far two ways of stepping end up apart."""

from __future__ import annotations

import copy
import gc
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from ablate.attention import use_kernels
from ablate.datasets.base import Dataset
from ablate.model import build
from ablate.study import Recipe, Variant
from ablate.system.hardware.precision import Precision
from ablate.system.process.randomness import restored
from ablate.train.batch import Batch
from ablate.train.cohort import Member, Pass, Stepping, train_epoch
from ablate.train.data import Data
from ablate.train.step import Trainer, make_trainer

SEED = 1


TIMED_BATCHES = 64
"""Whole ones: what a pass costs beside its steps is then a small part of it. The smaller batch at the end of
an epoch counts as a whole one: it is recorded like them."""


NO_GRADIENT = 1e-9
"""The share of a network's gradient below which that of a parameter is rounding alone, in float64. A bias
before a batch norm has none, and Adam makes whole steps of its rounding, each time others."""


def make_members(
    variants: Sequence[Variant],
    recipe: Recipe,
    dataset: Dataset,
    device: torch.device,
    precision: Precision,
    kernels: Mapping[str, str],
) -> list[Member]:
    """A cohort of these networks, from the same seed each time."""
    classes, members = len(dataset.classes()), []
    for variant in variants:
        net = build(variant, classes, dataset.image_size, SEED)
        use_kernels(net, kernels)
        members.append(Member(make_trainer(net, recipe, device, precision)))
    return members


def first_batches(data: Data, recipe: Recipe, batches: int) -> Data:
    """So many whole batches of the training set, over again where it has not that many; where it has not
    one, what there is.
    """
    if len(data.train) < recipe.step_images:
        return data
    rows = np.arange(batches * recipe.step_images) % len(data.train)
    return replace(data, train=data.train.of(rows))


def have_gradient(trainer: Trainer, batch: Batch) -> list[bool]:
    """Which parameters of a network have a gradient at all; in float64, where rounding is told from it.
    All, where the network cannot be computed so.
    """
    parameters = list(trainer.net.parameters())
    try:
        net = copy.deepcopy(trainer.net).double()
        use_kernels(net, {})
        with restored():
            loss = F.cross_entropy(net(batch[0].double()), batch[1])
        found = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
    except (RuntimeError, TypeError, copy.Error):  # it insists on another number format
        return [True] * len(parameters)
    sizes = [0.0 if each is None else float(each.norm()) for each in found]
    return [size > NO_GRADIENT * max(sizes) for size in sizes]


class SteppedCohort:
    """A cohort that has been stepped through a few batches, and what came of it. `counted` says which
    parameters of each member are compared; all if None.
    """

    def __init__(
        self,
        members: Sequence[Member],
        data: Data,
        recipe: Recipe,
        stepping: Stepping,
        counted: Sequence[Sequence[bool]] | None = None,
    ) -> None:
        self._members, self._recipe, self._stepping = members, recipe, stepping
        which: Sequence[Sequence[bool] | None] = counted or [None] * len(members)
        before = [_values(*each) for each in zip(members, which, strict=True)]
        self._losses = np.stack([done.losses for done in self._epoch(data)])
        self._weights = [_values(*each) for each in zip(members, which, strict=True)]
        self._moved = [
            [float(np.linalg.norm(b - a)) for a, b in zip(*both, strict=True)]
            for both in zip(before, self._weights, strict=True)
        ]

    def _epoch(self, data: Data) -> list[Pass]:
        """Stepped through; losses are read at its end, so the device is done."""
        return train_epoch(self._members, data, self._recipe, SEED, 1, self._stepping)

    def seconds(self, data: Data) -> float:
        """What a pass over these images takes."""
        return sum(done.seconds for done in self._epoch(data))

    def distance(self, other: SteppedCohort) -> float:
        """The larger of the largest difference of a loss, and of the weights or the statistics of any
        member, as shares of what they are, or of how far they have moved.
        """
        apart = [
            float(np.max(np.abs(self._losses - other._losses)) / np.max(np.abs(other._losses)))
        ]
        for mine, theirs, moved in zip(self._weights, other._weights, other._moved, strict=True):
            for a, b, far in zip(mine, theirs, moved, strict=True):
                apart.append(float(np.linalg.norm(a - b)) / far if far else float(np.any(a != b)))
        return float(np.max(apart))


def _values(member: Member, counted: Sequence[bool] | None) -> list[NDArray[np.float64]]:
    """The parameters that count as one row of numbers, and all buffers as another."""
    net = member.trainer.net
    parameters: list[torch.Tensor] = list(net.parameters())
    which = counted or [True] * len(parameters)
    chosen = [each for each, counts in zip(parameters, which, strict=True) if counts]
    groups: list[list[torch.Tensor]] = [chosen, list(net.buffers())]
    return [
        np.concatenate([tensor.detach().double().cpu().numpy().ravel() for tensor in group])
        for group in groups
        if group
    ]


def free_memory(device: torch.device) -> None:
    """Give back what nobody holds any more: in this process others go on."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
