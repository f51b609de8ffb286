"""An exponential moving average of a network's weights, which is what is evaluated and kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn


@dataclass
class Average:
    """The average of the parameters and floating-point buffers of a network, from its first weights on.

    Source: Polyak and Juditsky 1992; `torch.optim.swa_utils.AveragedModel` with `use_buffers`. Nothing is
    copied, nothing waits for the device: an update can be part of a CUDA graph.
    """

    net: nn.Module
    decay: float
    values: list[torch.Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.values = [tensor.detach().clone() for tensor in self._live()]

    @torch.no_grad()
    def update(self) -> None:
        """After a step of the optimizer."""
        torch._foreach_lerp_(self.values, self._live(), 1 - self.decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the network's weights and the average."""
        for live, value in zip(self._live(), self.values, strict=True):
            kept = live.clone()
            live.copy_(value)
            value.copy_(kept)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The network has the averaged weights."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def _live(self) -> list[torch.Tensor]:
        tensors = [p.detach() for p in self.net.parameters()]
        return tensors + [b for b in self.net.buffers() if b.is_floating_point()]
