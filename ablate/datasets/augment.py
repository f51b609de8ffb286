"""Augmentation of whole batches, a draw per image, byte for byte what torchvision does with PIL.

Every transform is a row of `AUGMENTS`: a function that applies given parameters to uint8 images, and one
that draws them from an explicit generator. Nothing waits for the device and no shape
depends on data, so a chain can be captured in a CUDA graph. In chunks of 64 to 512 images the
intermediate planes stay in the processor's cache.

Source: the arithmetic is that of Pillow (`Blend.c`, `Convert.c`, `Geometry.c`), the distributions
are those of torchvision's RandomCrop, RandomHorizontalFlip, ColorJitter and RandomRotation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from ablate.errors import unknown

CROP_PADDING = 4
FLIP_PROBABILITY = 0.5
JITTER = 0.2
HUE_JITTER = 0.1
ROTATION_DEGREES = 15.0

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
"""The operations of the colour jitter, by the numbers that an order is written in."""


def augment(images: Tensor, names: Sequence[str], generator: Generator) -> Tensor:
    """Apply the named augmentations in the order given, each image with its own draw.

    Shape: (N, 3, H, W) uint8 → the same; `generator` lives on the device of the images.

    Raises:
        UnknownNameError: a name that is not in `AUGMENTS`.
    """
    return draw_augments(images, names, generator)(images)


@dataclass(frozen=True)
class Drawn:
    """What was drawn for each image of a chunk: by augmentation, in their order, its parameters (N, …)."""

    steps: tuple[tuple[Callable[..., Tensor], tuple[Tensor, ...]], ...]

    def __call__(self, images: Tensor) -> Tensor:
        """The images as they were drawn. Shape: (N, 3, H, W) uint8 → the same."""
        for apply, drawn in self.steps:
            images = apply(images, *drawn)
        return images

    def of(self, rows: slice) -> Drawn:
        """The same for some of the images: what one becomes does not depend on those beside it."""
        return Drawn(
            tuple((apply, tuple(each[rows] for each in drawn)) for apply, drawn in self.steps)
        )


def draw_augments(like: Tensor, names: Sequence[str], generator: Generator) -> Drawn:
    """What `augment` draws for as many images as `like` has rows, on its device, without an image.

    Raises:
        UnknownNameError: a name that is not in `AUGMENTS`.
    """
    check_augments(names)
    drawn = [(AUGMENTS[name], AUGMENTS[name].draw(like, generator)) for name in names]
    return Drawn(tuple((augmentation.apply, values) for augmentation, values in drawn))


def check_augments(names: Sequence[str]) -> None:
    """Raise UnknownNameError for the first name that is not in `AUGMENTS`."""
    for name in names:
        if name not in AUGMENTS:
            raise unknown("augmentation", name, AUGMENTS)


def crop(images: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
    """The window of the image's own size at (dy, dx) of the image padded with `CROP_PADDING` zeros.

    Shape: images (N, 3, H, W) uint8; dy, dx (N,) integers from 0 to 2 × `CROP_PADDING`.
    """
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device) - CROP_PADDING
    columns = torch.arange(width, device=images.device) - CROP_PADDING
    return _pick(images, (rows + dy[:, None])[:, :, None], (columns + dx[:, None])[:, None, :])


def flip(images: Tensor, mask: Tensor) -> Tensor:
    """Mirror left and right where `mask` (N,) is true."""
    # Modulo 256 and in one memory format: several times faster than `where` on a CPU.
    change = images.flip(3).sub_(images).mul_(mask.byte()[:, None, None, None])
    return change.add_(images)


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with black: factor 0 is black, 1 the image. Shape: factor (N,) float32."""
    planes = images.float()
    return _blend(planes, planes.new_zeros(()), factor).byte()


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the image's mean grey, rounded. Shape: factor (N,) float32."""
    planes = images.float()
    return _blend(planes, _mean(_grey(planes)), factor).byte()


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the grey image. Shape: factor (N,) float32."""
    planes = images.float()
    return _blend(planes, _grey(planes), factor).byte()


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
    columns = _fixed(cos) * x + (_fixed(sin) * y + _fixed(left))
    rows = _fixed(-sin) * x + (_fixed(cos) * y + _fixed(top))
    return _pick(images, rows >> 16, columns >> 16)


def _fixed(value: Tensor) -> Tensor:
    return (value * 65536.0 + 0.5).floor().to(torch.int32)


def _pick(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The pixels at (rows, columns), broadcast to (N, H, W); zero outside the image."""
    batch, channels, height, width = images.shape
    # A border of one zero pixel stands for everything outside: clamping leads there, no mask.
    bordered = F.pad(images, (1, 1, 1, 1)).view(batch, channels, -1)
    index = (rows.clamp(-1, height) + 1) * (width + 2) + (columns.clamp(-1, width) + 1)
    index = index.long().view(batch, 1, -1).expand(-1, channels, -1)
    return bordered.gather(2, index).view_as(images)


def _grey(planes: Tensor) -> Tensor:
    """Pillow's luma (N, 1, H, W): weights in 1/65536, exact in float32, rounded."""
    red, green, blue = (planes[:, channel, None] for channel in range(3))
    luma = (red * (19595 / 65536)).add_(green, alpha=38470 / 65536).add_(blue, alpha=7471 / 65536)
    return luma.add_(0.5).floor_()


def _mean(grey: Tensor) -> Tensor:
    return (grey.mean((1, 2, 3), dtype=torch.float64, keepdim=True) + 0.5).floor().float()


def _blend(planes: Tensor, degenerate: Tensor, factor: Tensor) -> Tensor:
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
    grey = _grey(planes)
    mean = _mean(grey).mul_((by_image == CONTRAST).float())
    degenerate = grey.mul_((by_image == SATURATION).float()).add_(mean)
    return _blend(planes, degenerate, factor)


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


def _uniform(images: Tensor, low: float, high: float, generator: Generator) -> Tensor:
    draws = torch.empty(len(images), device=images.device)
    return draws.uniform_(low, high, generator=generator)


def draw_crop(images: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Offsets (dy, dx), each uniform over 0 … 2 × `CROP_PADDING`."""
    size, device = (2, len(images)), images.device
    dy, dx = torch.randint(0, 2 * CROP_PADDING + 1, size, device=device, generator=generator)
    return dy, dx


def draw_flip(images: Tensor, generator: Generator) -> tuple[Tensor]:
    """A mask that is true with `FLIP_PROBABILITY`."""
    return (_uniform(images, 0.0, 1.0, generator) < FLIP_PROBABILITY,)


def draw_color(images: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """An order, uniform over the 24; factors in 1 ± `JITTER`, a shift in ± `HUE_JITTER`."""
    order = torch.rand((len(images), 4), device=images.device, generator=generator).argsort(1)
    factors = [_uniform(images, 1 - JITTER, 1 + JITTER, generator) for _ in range(3)]
    shift = _uniform(images, -HUE_JITTER, HUE_JITTER, generator)
    return order, torch.stack([*factors, shift], dim=1)


def draw_rotate(images: Tensor, generator: Generator) -> tuple[Tensor]:
    """Degrees, uniform in ± `ROTATION_DEGREES`."""
    return (_uniform(images, -ROTATION_DEGREES, ROTATION_DEGREES, generator),)


@dataclass(frozen=True)
class Augmentation:
    """How it draws for images (of which only number and device count), and what it does to them then."""

    draw: Callable[[Tensor, Generator], tuple[Tensor, ...]]
    apply: Callable[..., Tensor]

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        return self.apply(images, *self.draw(images, generator))


AUGMENTS: dict[str, Augmentation] = {
    "crop": Augmentation(draw_crop, crop),
    "flip": Augmentation(draw_flip, flip),
    "color": Augmentation(draw_color, jitter),
    "rotate": Augmentation(draw_rotate, rotate),
}
