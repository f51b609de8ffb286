"""CBAM and its two halves (Woo et al. 2018, arXiv 1807.06521, sections 3.1 and 3.2)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ablate.attention.base import (
    Attention,
    hidden_units,
    odd_kernel,
    scaled,
)
from ablate.attention.fused import cbam_scale, channel_scale, spatial_scale


class ChannelAttention(Attention):
    """Average and max pool, each through one shared two-layer network; sigmoid of the sum; scale.

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
        average, peak = x.mean(dim=(2, 3)), _peak(x)
        gate = scaled(torch.sigmoid(self._shared(average) + self._shared(peak)), self._scale)
        return x * gate.to(x.dtype)[:, :, None, None]

    def fused(self, x: torch.Tensor) -> torch.Tensor:
        w1, w2 = self.fc1.weight, self.fc2.weight
        return channel_scale(x, w1, w2, with_peak=True, scale=self._scale)

    def _shared(self, pooled: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.fc2(F.relu(self.fc1(pooled)))
        return scores

    @staticmethod
    def parameter_count(channels: int, **options: int) -> int:
        return 2 * channels * (channels // options["reduction"])


class SpatialAttention(Attention):
    """Mean and max over channels, one convolution from two maps to one; sigmoid; scale.

    Shape: (N, C, H, W) → (N, C, H, W); the number of channels does not matter.

    Raises:
        OptionError: `kernel_size` is even or below 1.
    """

    def __init__(self, channels: int, *, kernel_size: int = 7, start: str = "paper") -> None:
        super().__init__()
        padding = odd_kernel(kernel_size) // 2
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=padding, bias=False)
        self._begin(start, self.conv)

    def plain(self, x: torch.Tensor) -> torch.Tensor:
        maps = torch.stack((x.mean(dim=1), x.amax(dim=1)), dim=1)
        return x * scaled(torch.sigmoid(self.conv(maps)), self._scale).to(x.dtype)

    def fused(self, x: torch.Tensor) -> torch.Tensor:
        return spatial_scale(x, self.conv.weight, scale=self._scale)

    @staticmethod
    def parameter_count(channels: int, **options: int) -> int:
        return 2 * options["kernel_size"] ** 2


class CBAM(Attention):
    """Channel attention, then spatial attention.

    Shape: (N, C, H, W) → (N, C, H, W).

    Raises:
        OptionError: as its halves do.
    """

    def __init__(
        self, channels: int, *, reduction: int = 16, kernel_size: int = 7, start: str = "paper"
    ) -> None:
        super().__init__()
        self.channel = ChannelAttention(channels, reduction=reduction, start=start)
        self.spatial = SpatialAttention(channels, kernel_size=kernel_size, start=start)
        self._begin(start)

    def plain(self, x: torch.Tensor) -> torch.Tensor:
        gated: torch.Tensor = self.spatial(self.channel(x))
        return gated

    def fused(self, x: torch.Tensor) -> torch.Tensor:
        channel = self.channel
        w1, w2, weight = channel.fc1.weight, channel.fc2.weight, self.spatial.conv.weight
        return cbam_scale(x, w1, w2, weight, scale=self._scale)

    @staticmethod
    def parameter_count(channels: int, **options: int) -> int:
        channel = ChannelAttention.parameter_count(channels, **options)
        return channel + SpatialAttention.parameter_count(channels, **options)


@torch.fx.wrap  # a function with a branch: torch.fx takes it as a whole
def _peak(x: torch.Tensor) -> torch.Tensor:
    """The maximum of each channel, with the gradient to one place alone: amax splits it among ties.

    On a CPU the pool is 5 to 13 times faster than a maximum; on a GPU it has no backward that
    repeats, and `--deterministic` refuses it. Shape: (N, C, H, W) → (N, C).
    """
    if x.device.type == "cuda":
        return x.flatten(2).max(dim=2).values
    return F.adaptive_max_pool2d(x, 1).flatten(1)
