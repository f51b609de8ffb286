"""Colours of whole batches, each image with amounts of its own, byte for byte Pillow's.

Source: the arithmetic is that of Pillow (`Blend.c`, `Convert.c`).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
"""The operations of the colour jitter, by the numbers that an order is written in."""


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with black: factor 0 is black, 1 the image. Shape: factor (N,) float32."""
    planes = images.float()
    return blend(planes, planes.new_zeros(()), factor).byte()


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the image's mean grey, rounded. Shape: factor (N,) float32."""
    planes = images.float()
    return blend(planes, _mean(grey(planes)), factor).byte()


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the grey image. Shape: factor (N,) float32."""
    planes = images.float()
    return blend(planes, grey(planes), factor).byte()


def hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue by `shift` (N,) float32 turns, from -0.5 to 0.5."""
    return _hue(images.float(), shift).byte()


def jitter(images: Tensor, order: Tensor, amounts: Tensor) -> Tensor:
    """Brightness, contrast, saturation and hue, in an order of its own for each image.

    Shape: order (N, 4), row by row a permutation of the four operations; amounts (N, 4) float32,
    column by column the factor or the shift of operation 0, 1, 2, 3.

    Hue costs most, and the three blends differ only in what they blend with. So every image goes
    through three blends, hue and three blends again, where those that are not its turn have the
    factor 1, which changes no byte: shapes stay static and hue is computed once.
    """
    planes = images.float()
    is_hue = order == HUE
    for place in range(3):
        planes = _turn(planes, order[:, place], amounts, is_hue[:, place + 1 :].any(1))
    planes = _hue(planes, amounts[:, HUE])
    for place in range(1, 4):
        planes = _turn(planes, order[:, place], amounts, is_hue[:, :place].any(1))
    return planes.short().byte()  # directly to bytes it is four times slower on a CPU


def grey(planes: Tensor) -> Tensor:
    """Pillow's luma (N, 1, H, W): weights in 1/65536, exact in float32, rounded."""
    red, green, blue = (planes[:, channel, None] for channel in range(3))
    luma = (red * (19595 / 65536)).add_(green, alpha=38470 / 65536).add_(blue, alpha=7471 / 65536)
    return luma.add_(0.5).floor_()


def _mean(luma: Tensor) -> Tensor:
    return (luma.mean((1, 2, 3), dtype=torch.float64, keepdim=True) + 0.5).floor().float()


def blend(planes: Tensor, degenerate: Tensor, factor: Tensor) -> Tensor:
    """Pillow's blend, in place: away from or towards `degenerate`, clipped and truncated."""
    # One operation at a time: a fused multiply-add would round differently from Pillow.
    planes.sub_(degenerate).mul_(factor[:, None, None, None]).add_(degenerate)
    return planes.clamp_(0, 255).floor_()


def _turn(planes: Tensor, operation: Tensor, amounts: Tensor, its_turn: Tensor) -> Tensor:
    """Blend each image as its `operation` (N,) says, in place; leave it when not its turn."""
    amount = amounts.gather(1, operation[:, None])[:, 0]
    factor = torch.where(its_turn, amount, 1.0)
    # As numbers, not as masks: arithmetic with masks is several times slower on a CPU.
    by_image = operation[:, None, None, None]
    luma = grey(planes)
    mean = _mean(luma).mul_((by_image == CONTRAST).float())
    degenerate = luma.mul_((by_image == SATURATION).float()).add_(mean)
    return blend(planes, degenerate, factor)


def _hue(planes: Tensor, shift: Tensor) -> Tensor:
    """RGB → Pillow's HSV in bytes → hue shifted modulo 256 → RGB. Equal to Pillow for all 2²⁴ colours."""
    red, green, blue = planes.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    least = torch.minimum(torch.minimum(red, green), blue)
    chroma = value - least
    # 0 or 1 in arithmetic: on a CPU `where` costs 20 times as much as a product.
    not_red, not_green = (value - red).clamp_(max=1), (value - green).clamp_(max=1)
    # The channel before the largest one, going round; and how far the middle one is below the largest.
    before = (green - red).mul_(not_green).add_(red).sub_(blue).mul_(not_red).add_(blue)
    below = value.mul(2.0).add_(least).sub_(red).sub_(green).sub_(blue)
    sextant = not_green.add_(1.0).mul_(not_red).mul_(2.0).add_(before.sub_(least).clamp_(max=1))
    index = sextant.mul_(256.0).add_(below).mul_(256.0).add_(chroma).int()
    hues = _hues(planes.device).index_select(0, index.flatten()).view_as(index)
    # Bytes: the sum wraps around at 256 (not at 255, where the circle closes), as in torchvision.
    steps = (shift.double() * 255.0).trunc().long().byte()[:, None, None]
    sixths = (hues + steps).float().mul_(6.0)
    saturation = (chroma / value.clamp(min=1)).mul_(255.0).floor_()
    drops = (765.0 - (sixths - 765.0).abs_(), (sixths - 510.0).abs_(), (sixths - 1020.0).abs_())
    return torch.stack([_drop(value, saturation, drop.sub_(255.0)) for drop in drops], dim=1)


@lru_cache(maxsize=2)
def _hues(device: torch.device) -> Tensor:
    """Pillow's hue byte, by sextant, by how far the middle channel is below the largest, by chroma.

    Shape: (6 × 256 × 256,) uint8. One of the two smaller channels is the least, whose quotient is 1,
    so that a hue has no more causes than these. Pillow's mixture of precisions is kept here, and
    computed once.
    """
    levels = torch.arange(256, device=device, dtype=torch.float32)
    # Without chroma the saturation is 0 and the hue is never looked at.
    part = levels[:, None] / levels.clamp(min=1)
    wide, one = part.double(), torch.ones_like(part)
    sixths = torch.stack([
        one - part,  # red is the largest, blue the least
        part - one,  # red, green
        (one.double() + 2.0).sub(wide).float(),  # green, red
        (wide + 2.0).sub(1.0).float(),  # green, blue
        (one.double() + 4.0).sub(wide).float(),  # blue, green
        (wide + 4.0).sub(1.0).float(),  # blue, red
    ])  # fmt: skip
    turns = sixths.double().div_(6.0).add_(1.0).frac_().float()
    return (turns.double() * 255.0).byte().flatten()


def _drop(value: Tensor, saturation: Tensor, drop: Tensor) -> Tensor:
    """`value` × (1 - `saturation` × `drop`), rounded; the latter two in 1/255, in place of `drop`.

    Integers below 2²⁴ up to the division, so float32 is exact and the rounding is Pillow's.
    """
    drop.clamp_(0.0, 255.0).mul_(saturation).neg_().add_(65025.0).mul_(value).add_(32512.0)
    # A tensor as divisor: by a Python number CUDA multiplies with the rounded reciprocal.
    return drop.div_(drop.new_full((), 65025.0)).floor_()
