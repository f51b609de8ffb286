"""The training loop: yields one Epoch after another."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from ablate.result import Epoch, Step
from ablate.study import Recipe
from ablate.train.data import Data, Part, eval_batches, train_batches
from ablate.train.schedules import find_schedule
from ablate.train.step import Trainer

STEP_INTERVALS = (1, 2, 5, 10, 20, 50, 100)
STEPS_PER_RUN = 400


class DivergedError(Exception):
    """The loss stopped being a number."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"the training loss is not finite in epoch {epoch}")
        self.epoch = epoch


@dataclass(frozen=True)
class Evaluation:
    """Mean loss, accuracy (a fraction) and one bit for each image: whether it was right."""

    loss: float
    accuracy: float
    correct: bytes


def train(trainer: Trainer, data: Data, recipe: Recipe, seed: int) -> Iterator[Epoch]:
    """Train for the recipe's epochs and yield what each one measured.

    Raises:
        DivergedError: the loss of an epoch is not finite.
    """
    schedule = find_schedule(recipe.schedule)
    every = step_interval(math.ceil(len(data.train) / recipe.batch_size) * recipe.epochs)
    watched: list[float] = []
    for epoch in range(1, recipe.epochs + 1):
        rate = recipe.learning_rate * schedule(epoch - 1, recipe.epochs, watched)
        trainer.set_learning_rate(rate)
        started = time.perf_counter()
        losses, right = _train_epoch(trainer, data, recipe, seed, epoch)
        train_seconds = time.perf_counter() - started
        steps = _logged(losses, right, recipe.batch_size, len(data.train), epoch, every, rate)
        seen = evaluate(trainer, data, data.watched)
        if not (math.isfinite(losses.mean()) and math.isfinite(seen.loss)):
            raise DivergedError(epoch)
        watched.append(seen.loss)
        leaked = data.val is None
        sizes = batch_sizes(len(data.train), recipe.batch_size)
        yield Epoch(
            epoch=epoch,
            train_loss=float((losses * sizes).sum() / sizes.sum()),
            train_accuracy=float(right.sum() / sizes.sum()),
            val_loss=None if leaked else seen.loss,
            val_accuracy=None if leaked else seen.accuracy,
            test_loss=seen.loss if leaked else None,
            test_accuracy=seen.accuracy if leaked else None,
            learning_rate=rate,
            seconds=time.perf_counter() - started,
            images_per_second=len(data.train) / train_seconds,
            steps=steps,
        )


def evaluate(trainer: Trainer, data: Data, part: Part) -> Evaluation:
    """Loss and accuracy of the network as it is, in evaluation mode."""
    trainer.net.eval()
    losses, right = [], []
    for images, labels in eval_batches(data, part):
        logits = trainer.infer(images)
        losses.append(F.cross_entropy(logits, labels, reduction="sum"))
        right.append(logits.argmax(dim=1) == labels)
    correct = torch.cat(right).cpu().numpy()
    loss = float(torch.stack(losses).sum()) / len(part)
    return Evaluation(loss, float(correct.mean()), np.packbits(correct).tobytes())


def step_interval(total_steps: int) -> int:
    """Every how many steps a step is stored: at most 100, fewer in short runs, so that they too
    have a curve. Each choice divides 100: every 100th step is always there.
    """
    return next((i for i in STEP_INTERVALS if total_steps <= i * STEPS_PER_RUN), STEP_INTERVALS[-1])


def batch_sizes(images: int, batch_size: int) -> np.ndarray:
    """The sizes of the batches of an epoch; only the last one may differ."""
    full, rest = divmod(images, batch_size)
    return np.array([batch_size] * full + [rest] * (rest > 0))


def _train_epoch(
    trainer: Trainer, data: Data, recipe: Recipe, seed: int, epoch: int
) -> tuple[np.ndarray, np.ndarray]:
    """One pass over the training images: loss and right answers of every batch.

    They are collected on the device and read once at the end, so no step waits for the device.
    """
    trainer.net.train()
    measured = [trainer.step(batch) for batch in train_batches(data, recipe, seed, epoch)]
    losses = torch.stack([loss for loss, _ in measured]).double().cpu().numpy()
    right = torch.stack([count for _, count in measured]).cpu().numpy()
    return losses, right


def _logged(
    losses: np.ndarray,
    right: np.ndarray,
    batch_size: int,
    images: int,
    epoch: int,
    every: int,
    rate: float,
) -> tuple[Step, ...]:
    """The steps to store, counted over the whole run from 1."""
    before = (epoch - 1) * len(losses)
    so_far = right.cumsum() / batch_sizes(images, batch_size).cumsum()
    return tuple(
        Step(before + i + 1, float(losses[i]), float(so_far[i]), rate)
        for i in range(len(losses))
        if (before + i + 1) % every == 0
    )
