"""Squeeze-and-Excitation (Hu et al. 2018, arXiv 1709.01507, section 3)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ablate.attention.base import Attention, hidden_units, scaled
from ablate.attention.fused import channel_scale


class SE(Attention):
    """Squeeze: mean over the map. Excitation: two linear layers without bias, ReLU, sigmoid. Scale.

    Shape: (N, C, H, W) → (N, C, H, W).

    Raises:
        OptionError: `channels // reduction` is below 1.
    """

    def __init__(self, channels: int, *, reduction: int = 16, start: str = "paper") -> None:
        super().__init__()
        hidden = hidden_units(channels, reduction)
        self.fc1 = nn.Linear(channels, hidden, bias=False)
        self.fc2 = nn.Linear(hidden, channels, bias=False)
        self._begin(start, self.fc2)

    def plain(self, x: torch.Tensor) -> torch.Tensor:
        squeezed = x.mean(dim=(2, 3))
        gate = scaled(torch.sigmoid(self.fc2(F.relu(self.fc1(squeezed)))), self._scale)
        return x * gate.to(x.dtype)[:, :, None, None]

    def fused(self, x: torch.Tensor) -> torch.Tensor:
        return channel_scale(
            x, self.fc1.weight, self.fc2.weight, with_peak=False, scale=self._scale
        )

    @staticmethod
    def parameter_count(channels: int, **options: int) -> int:
        return 2 * channels * (channels // options["reduction"])
