"""Runs of one seed, trained side by side: every augmented batch is made once and stepped by all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from ablate.study import Recipe, stream_seed
from ablate.study.batches import epoch_images
from ablate.system.process.randomness import restored
from ablate.train.batch import Batch
from ablate.train.beside import Beside
from ablate.train.data import Data, train_batches
from ablate.train.histograms import HistogramTaker
from ablate.train.schedules import BETWEEN_EPOCHS, find_schedule, with_warmup
from ablate.train.step import Trainer


@dataclass(frozen=True, slots=True)
class Began:
    """What a network that begins with trained weights is worth before any training: epoch 0."""

    accuracy: float
    loss: float


@dataclass
class Member:
    """One run of a cohort: its network in training, and what it has been through.

    `watched` has the loss that the schedule sees, one after each epoch that is done. `seconds` is
    its share of the cohort's time, `train_seconds` the part of it without evaluation. `histograms`
    takes those of its weights and gradients, where they are wanted. `began` is its epoch 0, of those that
    begin with trained weights; `beside` what a user's own trainer goes on from.
    """

    trainer: Trainer
    watched: list[float] = field(default_factory=list)
    seconds: float = 0.0
    train_seconds: float = 0.0
    histograms: HistogramTaker | None = None
    began: Began | None = None
    beside: Beside | None = None

    @property
    def epochs_done(self) -> int:
        return len(self.watched)


@dataclass(frozen=True)
class Pass:
    """One epoch of one member: loss, right answers and learning rate of every step; its share of the
    time.
    """

    losses: NDArray[np.float64]
    right: NDArray[np.int64]
    rates: NDArray[np.float64]
    seconds: float


@dataclass(frozen=True)
class Course:
    """An epoch to be stepped through: which one, of how many steps, and the learning rates (R, steps)
    of all members.
    """

    seed: int
    epoch: int
    rates: NDArray[np.float64]

    @property
    def steps(self) -> int:
        return int(self.rates.shape[1])

    def dropout_seed(self, number: int) -> int:
        """Of the stream that every member draws its dropout from in step `number`, counted from 0."""
        return stream_seed(self.seed, "dropout", (self.epoch - 1) * self.steps + number)

    def take_histograms(self, members: Sequence[Member], step: int) -> None:
        """Let those who want histograms take them after step `step`, counted from 1; the gradients
        are still those of that step.
        """
        for member in members:
            if member.histograms is not None:
                net = member.trainer.net
                member.histograms.take(net, self.epoch, step, self.steps, member.train_seconds)


@dataclass(frozen=True)
class Stepped:
    """Losses and right answers (R, steps), on the device; seconds of the host's time that were spent
    on each member alone.
    """

    losses: torch.Tensor
    right: torch.Tensor
    busy_seconds: NDArray[np.float64]


Stepping = Callable[[Sequence[Member], Data, Recipe, Course], Stepped]
"""A way to step a cohort through an epoch. All ways train the same."""


def step_eagerly(members: Sequence[Member], data: Data, recipe: Recipe, course: Course) -> Stepped:
    """The plain way: operator by operator, member by member."""
    trainers = [member.trainer for member in members]
    busy = np.zeros(len(trainers))
    measured = []
    for number, batch in enumerate(train_batches(data, recipe, course.seed, course.epoch)):
        rates, dropout = course.rates[:, number], course.dropout_seed(number)
        measured.append(step_together(trainers, batch, rates, dropout, busy))
        course.take_histograms(members, number + 1)
    losses, right = (torch.stack(values, dim=1) for values in zip(*measured, strict=True))
    return Stepped(losses, right, busy)


def train_epoch(
    members: Sequence[Member],
    data: Data,
    recipe: Recipe,
    seed: int,
    epoch: int,
    stepping: Stepping = step_eagerly,
) -> list[Pass]:
    """One epoch of all members over one stream of batches.

    Loss and right answers are collected on the device and read once at the end, so no step waits
    for the device. What a member gets does not depend on which others there are.
    """
    steps = math.ceil(epoch_images(len(data.train), recipe) / recipe.step_images)
    first = (epoch - 1) * steps
    rates = np.array([_rates(member, recipe, first, steps) for member in members])
    for member in members:
        member.trainer.begin(epoch)
    started = time.perf_counter()
    with restored():
        stepped = stepping(members, data, recipe, Course(seed, epoch, rates))
    losses, right = stepped.losses.double().cpu().numpy(), stepped.right.cpu().numpy()
    # Everybody's own steps, and an equal part of the rest: making batches, waiting for a device.
    busy = stepped.busy_seconds
    seconds = busy + (time.perf_counter() - started - busy.sum()) / len(members)
    return [Pass(*values) for values in zip(losses, right, rates, seconds.tolist(), strict=True)]


def step_together(
    trainers: Sequence[Trainer],
    batch: Batch,
    rates: NDArray[np.float64],
    dropout_seed: int,
    busy_seconds: NDArray[np.float64],
) -> tuple[torch.Tensor, torch.Tensor]:
    """One step of every trainer on the same batch: losses (R,) and right answers (R,), on the device.

    Shapes depend on the batch's alone and nothing waits for the device. What the host spent on each
    trainer is added to `busy_seconds` (R,).
    """
    results = []
    for i, trainer in enumerate(trainers):
        started = time.perf_counter()
        trainer.prepare(float(rates[i]), dropout_seed)
        results.append(trainer.step(batch))
        busy_seconds[i] += time.perf_counter() - started
    losses, right = zip(*results, strict=True)
    return torch.stack(losses), torch.stack(right)


def _rates(member: Member, recipe: Recipe, first: int, steps: int) -> list[float]:
    """The learning rate of each step of an epoch that begins after `first` steps."""
    schedule = find_schedule(recipe.schedule)
    if schedule in BETWEEN_EPOCHS:
        now = schedule(0.0, member.watched)
        schedule = lambda _progress, _losses: now  # noqa: E731
    factor = with_warmup(schedule, recipe, steps)
    return [
        recipe.learning_rate * factor(step, member.watched) for step in range(first, first + steps)
    ]
