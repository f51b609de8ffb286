"""Policies: an operation drawn for each image from a table, with a strength from the table too.

Images are sorted by what was drawn for them, so that each goes through its own operation alone. For
that the host waits for the device once; a chunk is tens of thousands of images there.

Source: TrivialAugment Wide (Müller and Hutter 2021, arXiv:2103.10158) and RandAugment (Cubuk et al.
2019, arXiv:1909.13719); their tables are torchvision's (`transforms.v2`), the arithmetic is Pillow's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Generator, Tensor

from ablate.datasets import colors, moves
from ablate.datasets.colors import blend

BINS = 31
"""Strengths that a table has; 0 is the weakest."""

OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Identity": lambda images, _: images,
    "ShearX": lambda images, strength: moves.shear(images, strength, torch.zeros_like(strength)),
    "ShearY": lambda images, strength: moves.shear(images, torch.zeros_like(strength), strength),
    "TranslateX": lambda images, strength: _shift(images, strength, 1),
    "TranslateY": lambda images, strength: _shift(images, strength, 0),
    "Rotate": moves.rotate,
    "Brightness": lambda images, strength: colors.brightness(images, (1.0 + strength).float()),
    "Color": lambda images, strength: colors.saturation(images, (1.0 + strength).float()),
    "Contrast": lambda images, strength: colors.contrast(images, (1.0 + strength).float()),
    "Sharpness": lambda images, strength: sharpness(images, (1.0 + strength).float()),
    "Posterize": lambda images, strength: posterize(images, strength.int()),
    "Solarize": lambda images, strength: solarize(images, 255.0 * strength),
    "AutoContrast": lambda images, _: autocontrast(images),
    "Equalize": lambda images, _: equalize(images),
}
"""By torchvision's names: images (N, 3, H, W) uint8 and strengths (N,) float64, as its tables have them."""


def draw_policy(
    images: Tensor, policy: str, generator: Generator, *, magnitude: int | None = None
) -> tuple[Tensor, Tensor]:
    """An operation for each image, by its number in the table, and its strength, of either sign where
    that makes sense. The strength is drawn too unless `magnitude` names its place in the table.

    Shape: both (N,), int64 and float64.
    """
    count, device = len(images), images.device
    strengths, signed = policy_table(policy, *images.shape[2:], device)
    which = torch.randint(len(signed), (count,), device=device, generator=generator)
    if magnitude is None:
        place = torch.randint(BINS, (count,), device=device, generator=generator)
    else:
        place = torch.full_like(which, magnitude)
    negative = torch.rand(count, device=device, generator=generator) <= 0.5
    return which, strengths[which, place] * torch.where(signed[which] & negative, -1.0, 1.0)


def apply_policy(images: Tensor, policy: str, which: Tensor, strength: Tensor) -> Tensor:
    """Every image through the operation of that number in the table."""
    out = torch.empty_like(images)
    drawn = which.cpu()
    for number, name in enumerate(policy_operations(policy)):
        rows = (drawn == number).nonzero()[:, 0].to(images.device)
        if len(rows):
            out[rows] = OPERATIONS[name](images[rows], strength[rows])
    return out


@lru_cache(maxsize=2)
def policy_operations(policy: str) -> tuple[str, ...]:
    """The names of a policy's operations."""
    return tuple(_space(policy))


@lru_cache(maxsize=4)
def policy_table(
    policy: str, height: int, width: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Strengths (operations, 31), float64, of images of a size, and which may be negative, (operations,)."""
    rows = [(values(BINS, height, width), signed) for values, signed in _space(policy).values()]
    strengths = [torch.zeros(BINS) if row is None else row for row, _ in rows]
    with torch.inference_mode(False):
        table = torch.stack([row.double() for row in strengths]).to(device)
        return table, torch.tensor([signed for _, signed in rows], device=device)


def _space(policy: str) -> dict[str, tuple[Callable[[int, int, int], Tensor | None], bool]]:
    # Here, not above: only those who train with a policy load torchvision for it.
    from torchvision.transforms import v2

    space: dict[str, tuple[Callable[[int, int, int], Tensor | None], bool]]
    space = getattr(v2, policy)._AUGMENTATION_SPACE
    return space


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the smoothed image. Shape: factor (N,) float32."""
    planes = images.float()
    return blend(planes, _smooth(planes), factor).byte()


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest `bits` (N,) of each byte."""
    mask = (256 - 2 ** (8 - bits.long())).byte()
    return images & mask[:, None, None, None]


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert what is not below `threshold` (N,)."""
    return torch.where(images < threshold[:, None, None, None], images, 255 - images)


def autocontrast(images: Tensor) -> Tensor:
    """Stretch each channel of each image over 0 to 255, and leave one of a single value as it is."""
    low = images.amin((2, 3), keepdim=True).double()
    high = images.amax((2, 3), keepdim=True).double()
    # A tensor as dividend, and one operation at a time: Pillow's roundings.
    scale = torch.full_like(low, 255.0).div_((high - low).clamp(min=1))
    stretched = (images.double() * scale).add_(-low * scale).clamp_(0, 255).byte()
    return torch.where(high > low, stretched, images)


def equalize(images: Tensor) -> Tensor:
    """Flatten the histogram of each channel of each image."""
    batch, channels = images.shape[:2]
    pixels = images.reshape(batch * channels, -1).long()
    counts = torch.zeros(batch * channels, 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(1, pixels, torch.ones_like(pixels))
    sums = counts.cumsum(1)
    # The last count that is not 0 is that of the largest value.
    largest = counts.gather(1, pixels.amax(1, keepdim=True))
    step = torch.div(sums[:, -1:] - largest, 255, rounding_mode="floor")
    whole = step.clamp(min=1)
    levels = torch.div(sums - counts + step // 2, whole, rounding_mode="floor").clamp_(max=255)
    levels = torch.where(step > 0, levels, torch.arange(256, device=images.device))
    return levels.gather(1, pixels).byte().view_as(images)


def _smooth(planes: Tensor) -> Tensor:
    """Pillow's SMOOTH: a mean over 3 × 3, the middle counts five times; the border stays as it is."""
    total = 4.0 * planes[:, :, 1:-1, 1:-1]
    for row in range(3):
        for column in range(3):
            height, width = planes.shape[2] - 2, planes.shape[3] - 2
            total.add_(planes[:, :, row : row + height, column : column + width])
    # Sums of bytes: 13 divides none of them half-way, so that rounding is the same however it is done.
    smooth = planes.clone()
    smooth[:, :, 1:-1, 1:-1] = total.div_(total.new_full((), 13.0)).add_(0.5).floor_()
    return smooth


def _shift(images: Tensor, strength: Tensor, axis: int) -> Tensor:
    pixels = strength.long()  # towards zero, as torchvision does
    none = torch.zeros_like(pixels)
    return moves.shift(images, *((pixels, none) if axis else (none, pixels)))
