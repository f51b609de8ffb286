"""The training loop: yields what each epoch of a cohort measured."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from ablate.result import Epoch, Failed, Step
from ablate.result.predictions import pack_predictions
from ablate.study import Recipe, stream_seed
from ablate.study.batches import epoch_images
from ablate.system.process.randomness import restored
from ablate.train.cohort import Member, Pass, Stepping, step_eagerly, train_epoch
from ablate.train.data import Data, Part, eval_batches
from ablate.train.step import Trainer

STEP_INTERVALS = (1, 2, 5, 10, 20, 50, 100)
STEPS_PER_RUN = 400


@dataclass(frozen=True)
class Evaluation:
    """Mean loss, accuracy (a fraction), one bit for each image: whether it was right; and where that was
    asked for what was predicted (`ablate.result.predictions`), and the logits (N, classes), float32.
    """

    loss: float
    accuracy: float
    correct: bytes
    predictions: bytes | None = None
    logits: NDArray[np.float32] | None = None


def train(
    members: Sequence[Member],
    data: Data,
    recipe: Recipe,
    seed: int,
    stepping: Stepping = step_eagerly,
) -> Iterator[list[tuple[Member, Epoch | Failed]]]:
    """Train to the recipe's last epoch; yields, for each epoch, what it measured for each member.

    A member whose loss is no number any more has failed and leaves the cohort. Members that have
    done more epochs than others, as after an interruption, wait until those have caught up.
    """
    left = list(members)
    for epoch in range(1, recipe.epochs + 1):
        live = [member for member in left if member.epochs_done == epoch - 1]
        if not live:
            continue
        events = list(_epoch(live, data, recipe, seed, epoch, stepping))
        failed = [member for member, event in events if isinstance(event, Failed)]
        left = [member for member in left if member not in failed]
        yield events


def _epoch(
    members: Sequence[Member], data: Data, recipe: Recipe, seed: int, epoch: int, stepping: Stepping
) -> Iterator[tuple[Member, Epoch | Failed]]:
    passes = train_epoch(members, data, recipe, seed, epoch, stepping)
    started = time.perf_counter()
    stream = stream_seed(seed, "evaluation", epoch)
    evaluations = evaluate([member.trainer for member in members], data, data.watched, stream)
    seconds = (time.perf_counter() - started) / len(members)
    for member, done, seen in zip(members, passes, evaluations, strict=True):
        if not (math.isfinite(done.losses.mean()) and math.isfinite(seen.loss)):
            error = f"the training loss is not finite in epoch {epoch}"
            yield member, Failed("diverged", error, epoch)
            continue
        member.watched.append(seen.loss)
        member.train_seconds += done.seconds
        member.seconds += done.seconds + seconds
        yield member, _measured(done, seen, data, recipe, epoch, seconds)


def _measured(
    done: Pass, seen: Evaluation, data: Data, recipe: Recipe, epoch: int, seconds: float
) -> Epoch:
    """What an epoch measured; `seconds` is what its evaluation took."""
    leaked = data.val is None
    sizes = batch_sizes(epoch_images(len(data.train), recipe), recipe.step_images)
    return Epoch(
        epoch=epoch,
        train_loss=float((done.losses * sizes).sum() / sizes.sum()),
        train_accuracy=float(done.right.sum() / sizes.sum()),
        val_loss=None if leaked else seen.loss,
        val_accuracy=None if leaked else seen.accuracy,
        test_loss=seen.loss if leaked else None,
        test_accuracy=seen.accuracy if leaked else None,
        learning_rate=float(done.rates[0]),
        seconds=done.seconds + seconds,
        images_per_second=sizes.sum() / done.seconds,
        steps=_logged(done, sizes, epoch, step_interval(len(sizes) * recipe.epochs)),
    )


def evaluate(
    trainers: Sequence[Trainer], data: Data, part: Part, seed: int, *, outputs: bool = False
) -> list[Evaluation]:
    """Loss and accuracy of every network as it is, in evaluation mode, with its `outputs` if asked.
    One that draws even there draws from a stream for each batch, so that nothing depends on who is
    evaluated beside it.
    """
    with restored():
        seen = _look(trainers, data, part, seed, outputs)
    return [each.evaluation() for each in seen]


@dataclass
class _Seen:
    """What one network made of the batches so far, on its device."""

    losses: list[torch.Tensor] = field(default_factory=list)
    right: list[torch.Tensor] = field(default_factory=list)
    logits: list[torch.Tensor] = field(default_factory=list)

    def add(self, logits: torch.Tensor, labels: torch.Tensor, outputs: bool) -> None:
        self.losses.append(F.cross_entropy(logits, labels, reduction="sum"))
        self.right.append(logits.argmax(dim=1) == labels)
        if outputs:
            self.logits.append(logits)

    def evaluation(self) -> Evaluation:
        correct = torch.cat(self.right).cpu().numpy()
        loss = float(torch.stack(self.losses).sum()) / len(correct)
        packed = np.packbits(correct).tobytes()
        if not self.logits:
            return Evaluation(loss, float(correct.mean()), packed)
        logits = torch.cat(self.logits)
        predicted, probability = logits.argmax(dim=1), logits.softmax(dim=1).amax(dim=1)
        said = pack_predictions(predicted.cpu().numpy(), probability.cpu().numpy())
        return Evaluation(loss, float(correct.mean()), packed, said, logits.cpu().numpy())


def _look(
    trainers: Sequence[Trainer], data: Data, part: Part, seed: int, outputs: bool
) -> list[_Seen]:
    seen = [_Seen() for _ in trainers]
    with ExitStack() as averaged:
        for trainer in trainers:
            trainer.net.eval()
            averaged.enter_context(trainer.averaged())
        for number, (images, labels) in enumerate(eval_batches(data, part)):
            stream = stream_seed(seed, number)
            for trainer, each in zip(trainers, seen, strict=True):
                trainer.draw_from(stream)
                each.add(trainer.infer(images), labels, outputs)
    return seen


def step_interval(total_steps: int) -> int:
    """Every how many steps a step is stored: at most 100, fewer in short runs, so that they too
    have a curve. Each choice divides 100: every 100th step is always there.
    """
    return next((i for i in STEP_INTERVALS if total_steps <= i * STEPS_PER_RUN), STEP_INTERVALS[-1])


def batch_sizes(images: int, batch_size: int) -> np.ndarray:
    """The sizes of the batches of an epoch; only the last one may differ."""
    full, rest = divmod(images, batch_size)
    return np.array([batch_size] * full + [rest] * (rest > 0))


def _logged(done: Pass, sizes: np.ndarray, epoch: int, every: int) -> tuple[Step, ...]:
    """The steps to store, counted over the whole run from 1."""
    before = (epoch - 1) * len(done.losses)
    so_far = done.right.cumsum() / sizes.cumsum()
    return tuple(
        Step(before + i + 1, float(done.losses[i]), float(so_far[i]), float(done.rates[i]))
        for i in range(len(done.losses))
        if (before + i + 1) % every == 0
    )
