"""Augmentation of whole batches, a draw per image, byte for byte what torchvision does with PIL.

Every transform is a pair: a function that applies given parameters to uint8 images, in `moves.py`,
`colors.py`, `resize.py` and `policies.py`, and one here that draws them from an explicit generator.
But for the policies nothing waits for the device and no shape depends on data. In chunks of 64 to
512 images the intermediate planes stay in the processor's cache.

Source: the distributions are those of torchvision's RandomCrop, RandomHorizontalFlip, ColorJitter,
RandomRotation, RandomResizedCrop (Szegedy et al. 2015, arXiv:1409.4842), RandomErasing (Zhong et al.
2017, arXiv:1708.04896), TrivialAugmentWide (arXiv:2103.10158) and RandAugment (arXiv:1909.13719).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from ablate.datasets.boxes import draw_erase, draw_resized_crop
from ablate.datasets.colors import (
    jitter,
)
from ablate.datasets.moves import CROP_PADDING, crop, erase, flip, rotate, translate
from ablate.datasets.policies import apply_policy, draw_policy
from ablate.datasets.resize import resized_crop
from ablate.study.augments import parse_augment

FLIP_PROBABILITY = 0.5
JITTER = 0.2
HUE_JITTER = 0.1
ROTATION_DEGREES = 15.0
TRIVIAL_AUGMENT, RAND_AUGMENT = "TrivialAugmentWide", "RandAugment"


def augment(images: Tensor, names: Sequence[str], generator: Generator) -> Tensor:
    """Apply the named augmentations in the order given, each image with its own draw.

    Shape: (N, 3, H, W) uint8 → the same; `generator` lives on the device of the images.

    Raises:
        UnknownNameError: a name that is not in `AUGMENTS`.
        OptionError: an option that it does not have.
    """
    for name, options in [parse_augment(text) for text in names]:
        images = AUGMENTS[name](images, generator, **options)
    return images


def check_augments(names: Sequence[str]) -> None:
    """Raises:
    UnknownNameError: a name that is not in `AUGMENTS`.
    OptionError: an option that it does not have.
    """
    for name in names:
        parse_augment(name)


def _uniform(images: Tensor, low: float, high: float, generator: Generator) -> Tensor:
    draws = torch.empty(len(images), device=images.device)
    return draws.uniform_(low, high, generator=generator)


def draw_crop(
    images: Tensor, generator: Generator, padding: int = CROP_PADDING
) -> tuple[Tensor, Tensor]:
    """Offsets (dy, dx), each uniform over 0 … 2 × `padding`."""
    size, device = (2, len(images)), images.device
    dy, dx = torch.randint(0, 2 * padding + 1, size, device=device, generator=generator)
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


def _crop(images: Tensor, generator: Generator, *, padding: int = CROP_PADDING) -> Tensor:
    return crop(images, *draw_crop(images, generator, padding), padding)


def _translate(images: Tensor, generator: Generator, *, pixels: int) -> Tensor:
    """Source: airbench, Jordan 2024, arXiv:2404.00498."""
    return translate(images, *draw_crop(images, generator, pixels), pixels)


def _trivial_augment(images: Tensor, generator: Generator) -> Tensor:
    return apply_policy(images, TRIVIAL_AUGMENT, *draw_policy(images, TRIVIAL_AUGMENT, generator))


def _rand_augment(
    images: Tensor, generator: Generator, *, operations: int, magnitude: int
) -> Tensor:
    for _ in range(operations):
        drawn = draw_policy(images, RAND_AUGMENT, generator, magnitude=magnitude)
        images = apply_policy(images, RAND_AUGMENT, *drawn)
    return images


def _flip(images: Tensor, generator: Generator) -> Tensor:
    return flip(images, *draw_flip(images, generator))


def _color(images: Tensor, generator: Generator) -> Tensor:
    return jitter(images, *draw_color(images, generator))


def _rotate(images: Tensor, generator: Generator) -> Tensor:
    return rotate(images, *draw_rotate(images, generator))


def _resized_crop(images: Tensor, generator: Generator, *, scale: float) -> Tensor:
    return resized_crop(images, *draw_resized_crop(images, generator, scale))


def _erase(images: Tensor, generator: Generator, *, probability: float) -> Tensor:
    return erase(images, *draw_erase(images, generator, probability))


AUGMENTS: dict[str, Callable[..., Tensor]] = {
    "crop": _crop,
    "flip": _flip,
    "color": _color,
    "rotate": _rotate,
    "resized_crop": _resized_crop,
    "translate": _translate,
    "erase": _erase,
    "trivial_augment": _trivial_augment,
    "rand_augment": _rand_augment,
}
