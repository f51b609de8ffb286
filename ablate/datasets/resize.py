"""A window of each image, brought to the image's own size: bilinear, byte for byte Pillow's."""

from __future__ import annotations

import torch
from torch import Tensor

PRECISION = 2**22
"""Weights are whole numbers of this share, as in Pillow's `Resample.c`."""


def resized_crop(images: Tensor, box: Tensor) -> Tensor:
    """The box of each image, enlarged to the image's size.

    Shape: images (N, 3, H, W) uint8; box (N, 4) integers: top, left, height and width, within the image.

    A box is never larger than the image, so that each pixel comes from two of a row and then from two
    of a column, whatever the box is.
    """
    top, left, height, width = box.unbind(1)
    batch, channels, rows, columns = images.shape
    across, weights = _taps(left, width, columns)
    whole = (batch, channels, rows, columns)
    pairs = [images.gather(3, place[:, None, None, :].expand(whole)) for place in across.unbind(1)]
    wide = _mixed(pairs, weights[:, :, None, None, :])
    down, weights = _taps(top, height, rows)
    pairs = [wide.gather(2, place[:, None, :, None].expand(whole)) for place in down.unbind(1)]
    return _mixed(pairs, weights[:, :, None, :, None])


def _taps(start: Tensor, length: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Which two pixels each of `size` comes from, and how much of each.

    Shape: start, length (N,) → places (N, 2, size) int64, weights (N, 2, size) int32.
    """
    scale = length.double()[:, None] / size
    centre = (torch.arange(size, device=start.device) + 0.5) * scale
    first = (centre - 0.5).trunc().long()  # towards zero, as C does
    # Where rounding makes Pillow look at three, the third has no share in 2^22.
    last = torch.minimum(first + 1, (centre + 1.5).trunc().long() - 1).clamp(
        max=length[:, None] - 1
    )
    shares = [1.0 - (place - centre + 0.5).abs() for place in (first, last)]
    shares[1] = torch.where(last > first, shares[1], 0.0)
    total = shares[0] + shares[1]
    weights = [(share / total * PRECISION + 0.5).floor().int() for share in shares]
    places = [place + start[:, None] for place in (first, last)]
    return torch.stack(places, dim=1), torch.stack(weights, dim=1)


def _mixed(pair: list[Tensor], weights: Tensor) -> Tensor:
    """Shape: two of (N, 3, H, W) uint8, weights (N, 2, …) int32 that are broadcast."""
    shares = zip(pair, weights.unbind(1), strict=True)
    one, two = (part.int().mul_(weight) for part, weight in shares)
    return one.add_(two).add_(PRECISION // 2).bitwise_right_shift_(22).byte()
