"""One training step, the same whether it is trained, timed or profiled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn, optim
from torch.nn import functional as F

from ablate.study import Recipe
from ablate.system.precision import Precision
from ablate.system.randomness import seed_all
from ablate.train.data import Batch
from ablate.train.optimizers import make_optimizer, set_learning_rate

Forward = Callable[[torch.Tensor], torch.Tensor]
"""From images (B, 3, H, W) to logits (B, classes)."""


@dataclass
class Trainer:
    """A network with its optimizer, ready to take steps. Nothing here waits for the device."""

    net: nn.Module
    optimizer: optim.Optimizer
    scaler: torch.amp.GradScaler
    precision: Precision
    device: torch.device

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

        Shape: the batch is images (B, 3, H, W), float32 and normalised, and labels (B,) int64.
        """
        images, labels = batch
        images = images.contiguous(memory_format=self.precision.memory_format)
        with self.precision.autocast(self.device):
            # Not `or`: a compiled module cannot be asked whether it is true.
            logits = (self.net if forward is None else forward)(images)
            loss = F.cross_entropy(logits, labels)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach(), (logits.argmax(dim=1) == labels).sum()

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
    net: nn.Module, recipe: Recipe, device: torch.device, precision: Precision
) -> Trainer:
    """Bring a network to the device, in the precision's memory format, with the recipe's optimizer."""
    net = net.to(device).to(memory_format=precision.memory_format)
    return Trainer(
        net=net,
        optimizer=make_optimizer(net, recipe),
        scaler=torch.amp.GradScaler(device.type, enabled=precision.scaled),
        precision=precision,
        device=device,
    )
