"""Efficient channel attention (Wang et al. 2020, arXiv 1910.03151, section 3.2)."""

from __future__ import annotations

import math

import torch
from torch import nn

from ablate.attention.base import Attention, odd_kernel, scaled

GAMMA, B = 2, 1


class ECA(Attention):
    """Mean over the map, a 1-D convolution across neighbouring channels, sigmoid, scale.

    `kernel_size` 0 takes the paper's size for that many channels.

    Shape: (N, C, H, W) → (N, C, H, W).

    Raises:
        OptionError: `kernel_size` is even or negative.
    """

    def __init__(self, channels: int, *, kernel_size: int = 0, start: str = "paper") -> None:
        super().__init__()
        k = odd_kernel(kernel_size) if kernel_size else paper_kernel(channels)
        self.conv = nn.Conv1d(1, 1, k, padding=k // 2, bias=False)
        self._begin(start, self.conv)

    def plain(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.conv(x.mean(dim=(2, 3))[:, None]).squeeze(1)
        gate = scaled(torch.sigmoid(scores), self._scale)
        return x * gate.to(x.dtype)[:, :, None, None]

    @staticmethod
    def parameter_count(channels: int, **options: int) -> int:
        return options["kernel_size"] or paper_kernel(channels)


def paper_kernel(channels: int) -> int:
    """Equation 12: the odd number nearest to log2(C) / γ + b / γ with γ = 2, b = 1; a tie goes up."""
    size = int((math.log2(channels) + B) / GAMMA)
    return size if size % 2 else size + 1
