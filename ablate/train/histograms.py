"""Histograms of weights and gradients during training, for no more than a hundredth of its time.

They are only looked at: what goes wrong here is told and ends the looking, never the run.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import nn

from ablate.result import Histograms
from ablate.result.histograms import Histogram, pack
from ablate.system.messages.text import one_line

TUTORIAL_STEP = 500
BINS = 64
MOST_SHARE = 0.01
"""Of a run's training time. Where an epoch takes seconds that is every epoch; where it takes less,
some epochs are left out."""


@dataclass
class HistogramTaker:
    """Takes histograms at step 500 of each epoch, or at the last one of a shorter epoch.

    `latest` is what the epoch under way gave, None if nothing; `seconds` is what all of it took. `trouble`
    says why no more are taken, None while all is well.
    """

    latest: Histograms | None = None
    seconds: float = 0.0
    trouble: str | None = None

    def take(self, net: nn.Module, epoch: int, step: int, steps: int, train_seconds: float) -> None:
        """Called after every step (from 1) of an epoch of `steps`, in a run trained that long."""
        if step == 1:
            self.latest = None
        affordable = self.seconds <= MOST_SHARE * train_seconds
        if step != min(TUTORIAL_STEP, steps) or not affordable or self.trouble is not None:
            return
        try:
            self._take(net, epoch, (epoch - 1) * steps + step)
        except Exception as error:
            self.trouble = one_line(error)

    def _take(self, net: nn.Module, epoch: int, step: int) -> None:
        device = next(net.parameters()).device
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # what earlier steps still take is not our time
        started = time.perf_counter()
        found = take_histograms(net)
        self.latest = Histograms(epoch, step, pack(found)) if found else None
        self.seconds += time.perf_counter() - started


def take_histograms(net: nn.Module) -> dict[str, Histogram]:
    """`weights/NAME` and `grads/NAME` of every parameter; without those that are empty or not finite. Of
    complex ones the real and the imaginary parts are counted together.
    """
    tensors: dict[str, torch.Tensor] = {}
    for name, parameter in net.named_parameters():
        tensors[f"weights/{name}"] = parameter.detach()
        if parameter.grad is not None:
            tensors[f"grads/{name}"] = parameter.grad
    tensors = {name: _plain(tensor) for name, tensor in tensors.items() if tensor.numel()}
    if not tensors:
        return {}
    # Everything is asked of the device before anything is read from it.
    asked = [_ask(tensor) for tensor in tensors.values()]
    facts = torch.stack([fact for fact, _ in asked]).double().cpu()
    counts = torch.stack([count for _, count in asked]).cpu()
    return {
        name: Histogram(low, high, total, squares, count.numpy())
        for name, (low, high, total, squares), count in zip(
            tensors, facts.tolist(), counts, strict=True
        )
        if math.isfinite(low + high + total + squares)
    }


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """Its values as fp32, dense and real."""
    dense = tensor.to_dense() if tensor.layout is not torch.strided else tensor
    if dense.is_complex():
        dense = torch.view_as_real(dense.resolve_conj())
    return dense.float()


def _ask(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(lowest, highest, sum, sum of squares), and the counts (BINS,), still on the device.

    Counted by adding ones, whose order does not matter: exact and the same on every device.
    """
    low, high = torch.aminmax(values)
    fact = torch.stack([low, high, values.sum(), values.square().sum()])
    scale = BINS / (high - low).clamp_min(torch.finfo(torch.float32).tiny)
    rows = ((values.flatten() - low) * scale).nan_to_num(0.0).clamp_(0, BINS - 1).long()
    counts = torch.zeros(BINS, dtype=torch.int64, device=values.device)
    return fact, counts.scatter_add_(0, rows, torch.ones_like(rows))
