"""One training step, the same whether it is trained, timed or profiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn, optim
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils import clip_grad_norm_

from ablate.errors import StudyError
from ablate.study import Recipe
from ablate.system.hardware.precision import Precision
from ablate.system.process.randomness import seed_all
from ablate.train.average import Average
from ablate.train.batch import Batch
from ablate.train.frozen import Freezing
from ablate.train.losses import Loss, first_labels, make_loss
from ablate.train.optimizers import make_optimizer, set_learning_rate

Forward = Callable[[torch.Tensor], torch.Tensor]
"""From images (B, 3, H, W) to logits (B, classes)."""

PLAIN = Loss()


@dataclass
class Trainer:
    """A network with its optimizer, ready to take steps. Nothing here waits for the device."""

    net: nn.Module
    optimizer: optim.Optimizer
    scaler: torch.amp.GradScaler
    precision: Precision
    device: torch.device
    loss: Loss = PLAIN
    micro_batch: int | None = None
    clip_norm: float | None = None
    average: Average | None = None
    freezing: Freezing | None = None

    @property
    def frozen(self) -> tuple[str, ...]:
        """Globs of what is not trained now."""
        return () if self.freezing is None else self.freezing.globs

    def begin(self, epoch: int) -> None:
        """Make the network ready to be trained in an epoch, counted from 1: its mode, and what is frozen."""
        if self.freezing is not None:
            self.freezing.begin(epoch)
        self.train()

    def train(self) -> None:
        """Training mode, but for what is frozen."""
        self.net.train()
        if self.freezing is not None:
            self.freezing.keep_statistics()

    @property
    def generator(self) -> torch.Generator:
        """torch's own generator of the device, from which dropout draws."""
        if self.device.type != "cuda":
            return torch.default_generator
        return torch.cuda.default_generators[self.device.index or 0]

    def step(
        self, batch: Batch, forward: Forward | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One step of the optimizer: the mean loss () and the number of right answers (), both still on
        the device. `forward` computes what the network does, in another way.

        Shape: the batch is images (B, 3, H, W), float32 and normalised, and their labels.
        """
        self.optimizer.zero_grad(set_to_none=True)
        if self.micro_batch is None or len(batch[1]) <= self.micro_batch:
            loss, right = self._backward(batch, forward, 1.0)
        else:
            loss, right = self._accumulate(batch, forward, self.micro_batch)
        if self.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            clip_grad_norm_(self.net.parameters(), self.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update()
        return loss, right

    def _backward(
        self, batch: Batch, forward: Forward | None, share: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the gradients of a batch, whose loss is that share of the step's."""
        images, labels = batch
        images = images.contiguous(memory_format=self.precision.memory_format)
        with self.precision.autocast(self.device):
            # Not `or`: a compiled module cannot be asked whether it is true.
            logits = (self.net if forward is None else forward)(images)
            loss = self.loss(logits, labels)
        self.scaler.scale(loss if share == 1 else loss * share).backward()
        return loss.detach(), (logits.argmax(dim=1) == first_labels(labels)).sum()

    def _accumulate(
        self, batch: Batch, forward: Forward | None, size: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The gradients of a step's images, some at a time."""
        images, labels = batch
        parts = list(zip(images.split(size), labels.split(size), strict=True))
        shares = [len(part[1]) / len(labels) for part in parts]
        done = [
            self._backward(part, forward, share) for part, share in zip(parts, shares, strict=True)
        ]
        # Shares stay numbers: to bring them to the device would wait for it, which no graph can record.
        losses = torch.stack([loss * share for (loss, _), share in zip(done, shares, strict=True)])
        return losses.sum(), torch.stack([right for _, right in done]).sum()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The network as it is evaluated: with the average of its weights, where a recipe wants that."""
        if self.average is None:
            yield
            return
        with self.average.in_place():
            yield

    def settle(self) -> None:
        """Training is over: what is tested and kept is what was evaluated."""
        if self.average is not None:
            self.average.swap()
            self.average = None

    def infer(self, images: torch.Tensor) -> torch.Tensor:
        """Logits in evaluation mode as float32; the caller has called `net.eval()`."""
        images = images.contiguous(memory_format=self.precision.memory_format)
        with torch.inference_mode(), self.precision.autocast(self.device):
            logits: torch.Tensor = self.net(images)
        return logits.float()

    def prepare(self, learning_rate: float, seed: int) -> None:
        """Set what the next step uses: the learning rate, and the stream that the network draws from.

        A stream for each step, so that nothing depends on which run stepped before and no
        generator's state has to be kept.
        """
        set_learning_rate(self.optimizer, learning_rate)
        self.draw_from(seed)

    def draw_from(self, seed: int) -> None:
        """Begin the stream that the network draws from, in every generator that it may use."""
        if self.device.type != "cpu":
            self.generator.manual_seed(seed)
        seed_all(seed)


def make_trainer(
    net: nn.Module,
    recipe: Recipe,
    device: torch.device,
    precision: Precision,
    labels: torch.Tensor | None = None,
) -> Trainer:
    """Bring a network to the device, in the precision's memory format, with the recipe's optimizer.
    `labels` (N,) are those of the training images, for class weights.

    Raises:
        StudyError: the recipe has dropout and the network has none.
    """
    net = _in_format(net.to(device), precision.memory_format)
    set_dropout(net, recipe)
    freezing = Freezing(net, recipe) if recipe.freeze or recipe.phases else None
    trainer = Trainer(
        net=net,
        optimizer=make_optimizer(net, recipe),
        scaler=torch.amp.GradScaler(device.type, enabled=precision.scaled),
        precision=precision,
        device=device,
        loss=make_loss(recipe, labels),
        micro_batch=recipe.batch_size if recipe.accumulate > 1 else None,
        clip_norm=recipe.clip_norm,
        average=None if recipe.ema_decay is None else Average(net, recipe.ema_decay),
        freezing=freezing,
    )
    if freezing is not None:
        freezing.begin(
            recipe.epochs
        )  # where nobody says which epoch it is: as most of it is trained
    return trainer


def _in_format(net: nn.Module, memory_format: torch.memory_format) -> nn.Module:
    """A network with the tensors of four dimensions in this format, which those of five do not have."""
    tensors = [*net.parameters(), *net.buffers()]
    if all(tensor.dim() != 5 for tensor in tensors):
        return net.to(memory_format=memory_format)
    for tensor in tensors:
        if tensor.dim() == 4:
            tensor.data = tensor.data.contiguous(memory_format=memory_format)
    return net


def set_dropout(net: nn.Module, recipe: Recipe) -> None:
    """Give every dropout of a network the recipe's probability.

    Raises:
        StudyError: it has none.
    """
    if recipe.dropout is None:
        return
    found = [module for module in net.modules() if isinstance(module, _DropoutNd)]
    if not found:
        raise StudyError(
            f"recipe.dropout = {recipe.dropout:g}: the network has no dropout (nn.Dropout and its kin): "
            "leave it out"
        )
    for module in found:
        module.p = recipe.dropout
