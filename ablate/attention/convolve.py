"""The convolution of spatial attention, two maps to one, and its gradients, fast on a CPU.

With so few channels torch's convolution on a CPU is mostly overhead: forward and backward with k = 7
on 64 maps of 16×16 take 5.0 ms on one thread. As matrix products they take 0.7 ms: a row of the
output is the k rows of the input around it times a banded matrix of the weights. The work for a value
grows with the width: at 112 columns it is half the time of torch's, at 224 the same.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

WIDEST_BAND = 128
"""Wider maps, and those on a GPU, take torch's own convolution."""


def convolve(maps: Tensor, weight: Tensor) -> Tensor:
    """(N, 2, H, W) and (1, 2, k, k) → (N, 1, H, W), k odd, zeros around the map."""
    if not _is_banded(maps):
        return F.conv2d(maps, weight, padding=weight.shape[-1] // 2)
    images, _, height, width = maps.shape
    size = weight.shape[-1]
    scores = _windows(maps, size) @ _band(weight, width).flatten(0, 2)
    return scores.view(images, 1, height, width)


def convolve_backward(grad: Tensor, maps: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `maps` and `weight` from that of the output (N, 1, H, W)."""
    if _is_banded(maps):
        return _grad_of_maps(grad, maps, weight), _grad_of_weight(grad, maps, weight)
    padding = [weight.shape[-1] // 2] * 2
    grad_maps, grad_weight, _ = torch.ops.aten.convolution_backward(
        grad, maps, weight, None, [1, 1], padding, [1, 1], False, [0, 0], 1, [True, True, False]
    )
    return grad_maps, grad_weight


def _is_banded(maps: Tensor) -> bool:
    return maps.device.type == "cpu" and maps.shape[-1] <= WIDEST_BAND


def _grad_of_maps(grad: Tensor, maps: Tensor, weight: Tensor) -> Tensor:
    """The same with the rows of the kernel in reverse order and each band transposed."""
    images, channels, height, width = maps.shape
    band = _band(weight, width).flip(0).permute(0, 3, 1, 2).flatten(2).flatten(0, 1)
    rows = _windows(grad, weight.shape[-1]) @ band
    return rows.view(images, height, channels, width).transpose(1, 2)


def _grad_of_weight(grad: Tensor, maps: Tensor, weight: Tensor) -> Tensor:
    """The gradient of the banded matrix, summed along its diagonals."""
    channels, size, width = maps.shape[1], weight.shape[-1], maps.shape[-1]
    grad_band = _windows(maps, size).t() @ grad.reshape(-1, width)
    shift, inside = _diagonals(size, width, maps.dtype)
    grad_band = grad_band.view(size, channels, width, width) * inside
    sums = grad_band.new_zeros(size, channels, size)
    return sums.index_add_(2, shift.flatten(), grad_band.flatten(2)).transpose(0, 1)[None]


def _windows(maps: Tensor, size: int) -> Tensor:
    """The `size` rows around each row, side by side. (N, C, H, W) → (N·H, size·C·W)."""
    images, channels, height, width = maps.shape
    padded = maps.new_zeros(images, height + size - 1, channels, width)
    padded[:, size // 2 : size // 2 + height] = maps.transpose(1, 2)
    windows = padded.unfold(1, size, 1).permute(0, 1, 4, 2, 3)
    return windows.reshape(images * height, size * channels * width)


def _band(weight: Tensor, width: int) -> Tensor:
    """(1, C, k, k) → (k, C, W, W): from each kernel row, how a column in adds to a column out."""
    shift, inside = _diagonals(weight.shape[-1], width, weight.dtype)
    return (weight[0][:, :, shift] * inside).transpose(0, 1)


@lru_cache(maxsize=64)
def _diagonals(size: int, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """For each column in and column out (W, W): the kernel's column between them, and 1 if any."""
    with torch.inference_mode(False):  # kept, so they must serve training too
        column = torch.arange(width)
        shift = column[:, None] - column + size // 2
        inside = (shift >= 0) & (shift < size)
        return shift.clamp_(0, size - 1), inside.to(dtype)
