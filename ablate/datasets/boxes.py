"""Boxes within images, drawn for whole batches: top, left, height and width (N, 4).

Torchvision tries until a box lies within the image, and gives up after ten attempts. Here all ten are
drawn and the first that fits is taken, so that no shape depends on data.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

CROP_RATIO = 3 / 4, 4 / 3
"""Of a resized crop, width to height; `resized_crop(scale=…)` is the least share of the image."""
ERASED_SHARE, ERASED_RATIO = (0.02, 0.33), (0.3, 3.3)
"""Of a rectangle that is erased: its share of the image, and its height to its width."""
ATTEMPTS = 10
"""Of a rectangle that must lie within the image, until it is given up."""


def draw_resized_crop(images: Tensor, generator: Generator, scale: float = 0.08) -> tuple[Tensor]:
    """A box (N, 4), top, left, height, width: an area uniform from `scale` to 1 of the image, a ratio
    log-uniform in `CROP_RATIO`, at a place uniform within it; all of the image where none of
    `ATTEMPTS` lies within it, cut to a ratio that is allowed.
    """
    height, width = images.shape[2:]
    share, ratio = _rectangles(images, (scale, 1.0), CROP_RATIO, generator)
    area = share * (height * width)
    sides = torch.stack([(area / ratio).sqrt().round(), (area * ratio).sqrt().round()], dim=2)
    fits = ((sides > 0) & (sides <= sides.new_tensor([height, width]))).all(2)
    whole = sides.new_tensor(_allowed(height, width))
    chosen = torch.where(fits.any(1)[:, None], _first(sides, fits), whole)
    free = sides.new_tensor([height, width]) - chosen
    # Without an attempt that fits the middle is taken, as torchvision does.
    places = torch.where(fits.any(1)[:, None], _place(free, generator), (free / 2).floor())
    return (torch.cat([places, chosen], dim=1).long(),)


def draw_erase(images: Tensor, generator: Generator, probability: float = 0.5) -> tuple[Tensor]:
    """A box (N, 4) as of a resized crop, by `ERASED_SHARE` and `ERASED_RATIO`; without height where nothing
    is erased.
    """
    height, width = images.shape[2:]
    draws = torch.rand(len(images), device=images.device, generator=generator)
    wanted = draws < probability
    share, ratio = _rectangles(images, ERASED_SHARE, ERASED_RATIO, generator)
    area = share * (height * width)
    sides = torch.stack([(area * ratio).sqrt().round(), (area / ratio).sqrt().round()], dim=2)
    fits = (sides < sides.new_tensor([height, width])).all(2)
    chosen = _first(sides, fits) * (wanted & fits.any(1))[:, None]
    places = _place(sides.new_tensor([height, width]) - chosen, generator)
    return (torch.cat([places, chosen], dim=1).long(),)


def _rectangles(
    images: Tensor, shares: tuple[float, float], ratios: tuple[float, float], generator: Generator
) -> tuple[Tensor, Tensor]:
    """Shares of the image, uniform, and ratios, log-uniform, both (N, attempts)."""
    size, device = (len(images), ATTEMPTS), images.device
    share = torch.empty(size, device=device).uniform_(*shares, generator=generator)
    logs = torch.empty(size, device=device)
    return share, logs.uniform_(*map(math.log, ratios), generator=generator).exp()


def _first(sides: Tensor, fits: Tensor) -> Tensor:
    """The first attempt (N, 2) that fits, of (N, attempts, 2)."""
    first = fits.byte().argmax(1)[:, None, None].expand(-1, 1, 2)
    return sides.gather(1, first)[:, 0]


def _place(free: Tensor, generator: Generator) -> Tensor:
    """Whole numbers (N, 2), uniform from 0 to what is free on each side, both included."""
    draws = torch.rand(free.shape, device=free.device, generator=generator)
    return torch.minimum((draws * (free + 1)).floor(), free)


def _allowed(height: int, width: int) -> tuple[int, int]:
    """The largest window of an image whose ratio is allowed."""
    least, most = CROP_RATIO
    if width / height < least:
        return round(width / least), width
    return (height, round(height * most)) if width / height > most else (height, width)
