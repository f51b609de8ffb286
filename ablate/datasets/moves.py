"""Windows and turns of whole batches, each image with parameters of its own, byte for byte Pillow's.

Source: the arithmetic is that of Pillow (`Geometry.c`).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CROP_PADDING = 4


def crop(images: Tensor, dy: Tensor, dx: Tensor, padding: int = CROP_PADDING) -> Tensor:
    """The window of the image's own size at (dy, dx) of the image padded with zeros.

    Shape: images (N, 3, H, W) uint8; dy, dx (N,) integers from 0 to 2 × `padding`.
    """
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device) - padding
    columns = torch.arange(width, device=images.device) - padding
    return pick(images, (rows + dy[:, None])[:, :, None], (columns + dx[:, None])[:, None, :])


def translate(images: Tensor, dy: Tensor, dx: Tensor, pixels: int) -> Tensor:
    """The same window of the image padded with its own mirrored edge.

    Shape: images (N, 3, H, W) uint8; dy, dx (N,) integers from 0 to 2 × `pixels`.
    """
    batch, channels, height, width = images.shape
    rows = _mirrored(torch.arange(height, device=images.device) + dy[:, None] - pixels, height)
    columns = _mirrored(torch.arange(width, device=images.device) + dx[:, None] - pixels, width)
    index = (rows[:, :, None] * width + columns[:, None, :]).view(batch, 1, -1)
    return images.flatten(2).gather(2, index.expand(-1, channels, -1)).view_as(images)


def _mirrored(places: Tensor, size: int) -> Tensor:
    """The edge itself is not repeated."""
    return size - 1 - (size - 1 - places.abs()).abs()


def erase(images: Tensor, box: Tensor, value: int = 0) -> Tensor:
    """A rectangle of each image in one grey.

    Shape: box (N, 4) integers: top, left, height and width; a height of 0 erases nothing.
    """
    rows = torch.arange(images.shape[2], device=images.device)
    columns = torch.arange(images.shape[3], device=images.device)
    top, left, height, width = (side[:, None] for side in box.unbind(1))
    in_rows = (rows >= top) & (rows < top + height)
    in_columns = (columns >= left) & (columns < left + width)
    mask = in_rows[:, None, :, None] & in_columns[:, None, None, :]
    return images.masked_fill(mask, value)


def flip(images: Tensor, mask: Tensor) -> Tensor:
    """Mirror left and right where `mask` (N,) is true."""
    # Modulo 256 and in one memory format: several times faster than `where` on a CPU.
    change = images.flip(3).sub_(images).mul_(mask.byte()[:, None, None, None])
    return change.add_(images)


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Rotate counter-clockwise about the centre; nearest neighbour, zeros outside.

    Shape: degrees (N,). Pillow walks the source in 16.16 fixed point; so do we, hence equal bytes.
    """
    height, width = images.shape[2:]
    angle = -torch.deg2rad(degrees.double() % 360.0)[:, None, None]
    cos, sin = angle.cos(), angle.sin()
    x = torch.arange(width, device=images.device)
    y = torch.arange(height, device=images.device)[:, None]
    left = width / 2 - cos * (width / 2) - sin * (height / 2) + (cos + sin) / 2
    top = height / 2 + sin * (width / 2) - cos * (height / 2) + (cos - sin) / 2
    columns = fixed(cos) * x + (fixed(sin) * y + fixed(left))
    rows = fixed(-sin) * x + (fixed(cos) * y + fixed(top))
    return pick(images, rows >> 16, columns >> 16)


def fixed(value: Tensor) -> Tensor:
    return (value * 65536.0 + 0.5).floor().to(torch.int32)


def pick(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The pixels at (rows, columns), broadcast to (N, H, W); zero outside the image."""
    batch, channels, height, width = images.shape
    # A border of one zero pixel stands for everything outside: clamping leads there, no mask.
    bordered = F.pad(images, (1, 1, 1, 1)).view(batch, channels, -1)
    index = (rows.clamp(-1, height) + 1) * (width + 2) + (columns.clamp(-1, width) + 1)
    index = index.long().view(batch, 1, -1).expand(-1, channels, -1)
    return bordered.gather(2, index).view_as(images)


def shear(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Each row pushed left by `x` times its number, each column up by `y` times; zeros outside.

    Shape: x, y (N,) float64, of which one is 0. Fixed point as in `rotate`.
    """
    height, width = images.shape[2:]
    columns = torch.arange(width, device=images.device)
    rows = torch.arange(height, device=images.device)[:, None]
    x, y = x[:, None, None], y[:, None, None]
    one = fixed(torch.ones_like(x))
    across = one * columns + (fixed(x) * rows + fixed(x * 0.5 + 0.5))
    down = one * rows + (fixed(y) * columns + fixed(y * 0.5 + 0.5))
    return pick(images, down >> 16, across >> 16)


def shift(images: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
    """Moved right by `dx` and down by `dy` whole pixels (N,); zeros outside."""
    rows = torch.arange(images.shape[2], device=images.device)
    columns = torch.arange(images.shape[3], device=images.device)
    return pick(images, (rows - dy[:, None])[:, :, None], (columns - dx[:, None])[:, None, :])
