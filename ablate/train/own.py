"""What a trainer of the user's is given: the network with attention in place, images, a seed, a device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ablate.errors import StudyError
from ablate.study import Recipe, stream_seed
from ablate.train.batch import Batch
from ablate.train.beside import Beside, Watched
from ablate.train.data import Data, train_batches
from ablate.train.step import Trainer

STREAM = "trainer"
"""The name of the random stream that trainers draw from, whoever trains beside them."""


@dataclass
class Training:
    """One run, as a trainer of the user's gets it: `def train(run, *, option=default): …`, a generator that
    yields once at the end of each epoch of `run.epochs`.

    `network` is built from the seed, has its attention and is on `device`, in training mode. What it is when
    the generator ends is tested, by ablate. `scaler` scales losses where the precision is fp16, and does
    nothing elsewhere; both go into checkpoints. `classes` is how many there are, `total_epochs` how many
    epochs the recipe has, also where a run goes on in the middle.

    torch, NumPy and Python draw from streams of the seed and the epoch, the same for all variants.
    """

    trainer: Trainer = field(repr=False)
    data: Data = field(repr=False)
    recipe: Recipe
    seed: int
    classes: int
    beside: Beside = field(repr=False)
    first_epoch: int = 1
    rehearsed: bool = False
    served_images: int = field(default=0, init=False, repr=False)
    epoch: int | None = field(default=None, init=False, repr=False)
    learning_rate: float | None = field(default=None, init=False, repr=False)
    at_yield: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    @property
    def network(self) -> nn.Module:
        """From images (B, 3, H, W) to logits (B, classes)."""
        return self.trainer.net

    @property
    def device(self) -> torch.device:
        return self.trainer.device

    @property
    def scaler(self) -> torch.amp.GradScaler:
        return self.trainer.scaler

    @property
    def batch_size(self) -> int:
        return self.recipe.batch_size

    @property
    def total_epochs(self) -> int:
        return self.recipe.epochs

    @property
    def seen(self) -> Watched | None:
        """What the network was worth after the epoch before, also where a run goes on; None at the first."""
        return self.beside.seen

    @property
    def to_train(self) -> tuple[int, ...]:
        """The epochs that are left, or three of them in a rehearsal: the next two and the last."""
        every = range(self.first_epoch, self.total_epochs + 1)
        return tuple(dict.fromkeys([*every[:2], *every[-1:]] if self.rehearsed else every))

    @property
    def epochs(self) -> Iterator[int]:
        """The epochs that are left, counted from 1: after a checkpoint those behind it.

        Raises:
            StudyError: what goes into checkpoints was changed after the `yield`, or was not taken up.
        """
        for epoch in self.to_train:
            self._check_kept()
            self.epoch, self.learning_rate = epoch, self.beside.learning_rate
            self.trainer.train()
            self.trainer.draw_from(stream_seed(self.seed, STREAM, epoch))
            yield epoch

    def ended(self) -> None:
        """A `yield` has come: what is kept now is what a checkpoint has."""
        self.at_yield = self.beside.states(self.network, whole=self.rehearsed)

    def _check_kept(self) -> None:
        if self.beside.stored is not None:
            raise StudyError(
                "run.keep was not called before the first epoch, where a run has back what it kept"
            )
        found = self.beside.states(self.network, whole=self.rehearsed) if self.at_yield else {}
        if others := [name for name, state in found.items() if state != self.at_yield.get(name)]:
            raise StudyError(
                f"what comes after the yield changes {' and '.join(others)}, and a checkpoint is taken at "
                "the yield: do it before, or as the next epoch begins, where run.seen is what the yield gave"
            )

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The training images of an epoch, augmented and normalised as the recipe says, in the order in which
        every variant of this seed sees them.

        Shape: images (B, 3, H, W) float32 and labels (B,) int64, on the device; the last one may be smaller.
        """
        memory_format = self.trainer.precision.memory_format
        for images, labels in train_batches(self.data, self.recipe, self.seed, epoch):
            self.served_images += len(labels)
            yield images.contiguous(memory_format=memory_format), labels

    def autocast(self) -> AbstractContextManager[Any]:
        """The study's precision, for the forward and the loss."""
        return self.trainer.precision.autocast(self.device)

    def keep(self, **parts: Any) -> None:
        """Have these go into checkpoints, by their `state_dict`, and take up what a checkpoint has of them:
        optimizers, schedulers, an average of the weights. Called once, before the first epoch. Without it a
        run that is stopped begins anew. The learning rate that is stored is that of the first optimizer.

        Raises:
            StudyError: called twice or too late, or a part without `state_dict` and `load_state_dict`.
        """
        if self.beside.parts is not None:
            raise StudyError("run.keep was called before: name everything in one call")
        if self.epoch is not None:
            raise StudyError(
                "run.keep comes before the first epoch: call it above `for epoch in run.epochs`"
            )
        for name, part in parts.items():
            if not all(
                callable(getattr(part, each, None)) for each in ("state_dict", "load_state_dict")
            ):
                raise StudyError(
                    f"run.keep({name}=…): {type(part).__name__} has no state_dict and load_state_dict"
                )
        self.beside.parts = dict(parts)
        stored, self.beside.stored = self.beside.stored, None
        if stored is None:
            return
        if stored.keys() != parts.keys():
            raise StudyError(
                f"run.keep: the checkpoint has {', '.join(stored) or 'nothing'}, and the trainer keeps "
                f"{', '.join(parts) or 'nothing'}: name the same parts every time"
            )
        for name, part in parts.items():
            part.load_state_dict(stored[name])
