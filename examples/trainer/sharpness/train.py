"""Sharpness-aware minimization (Foret et al. 2021, arXiv:2010.01412): two gradients for every step.

The weights first climb by `rho` along the gradient; the gradient that is found up there takes the step from
where they were. No key of a recipe says that, so it is a trainer. Nothing of ablate is imported: `run` is all
that it needs.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import torch
from torch.nn import functional as F


def sam(
    run: Any,
    *,
    learning_rate: float = 0.02,
    rho: float = 0.05,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> Generator[float, Any, None]:
    """Train `run.network`; yields the mean loss at the end of each epoch, before the climb."""
    weights = list(run.network.parameters())
    optimizer = torch.optim.SGD(
        weights, lr=learning_rate, momentum=momentum, weight_decay=weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, run.total_epochs)
    run.keep(optimizer=optimizer, schedule=schedule)
    for epoch in run.epochs:
        losses = []
        for images, labels in run.batches(epoch):
            losses.append(_backward(run, optimizer, images, labels))
            with Above(weights, rho):
                _backward(run, optimizer, images, labels)
            run.scaler.step(optimizer)
            run.scaler.update()
        schedule.step()
        yield float(torch.stack(losses).mean())


def _backward(
    run: Any, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    optimizer.zero_grad()
    with run.autocast():
        loss = F.cross_entropy(run.network(images), labels)
    run.scaler.scale(loss).backward()
    return loss.detach()


class Above:
    """Within, weights are `rho` up along their gradients; of a loss scale nothing is left in it."""

    def __init__(self, weights: list[torch.nn.Parameter], rho: float) -> None:
        self._moved = [(weight, weight.grad) for weight in weights if weight.grad is not None]
        norm = torch.stack([grad.norm() for _, grad in self._moved]).norm()
        # Gradients that overflowed in fp16 take no step, and must not take the weights with them.
        scale = torch.where(norm.isfinite(), rho / (norm + 1e-12), 0.0)
        self._climbs = [torch.nan_to_num(grad) * scale for _, grad in self._moved]

    @torch.no_grad()
    def __enter__(self) -> None:
        for (weight, _), climb in zip(self._moved, self._climbs, strict=True):
            weight.add_(climb)

    @torch.no_grad()
    def __exit__(self, *_: object) -> None:
        for (weight, _), climb in zip(self._moved, self._climbs, strict=True):
            weight.sub_(climb)
