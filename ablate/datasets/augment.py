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
from dataclasses import dataclass
from functools import partial

import torch
from torch import Generator, Tensor

from ablate.datasets.boxes import draw_erase, draw_resized_crop
from ablate.datasets.colors import jitter
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
    """What `augment` draws for images of which nothing but number, size and device is looked at.

    Raises:
        UnknownNameError: a name that is not in `AUGMENTS`.
        OptionError: an option that it does not have.
    """
    chosen = [AUGMENTS[name](**options) for name, options in [parse_augment(n) for n in names]]
    return Drawn(tuple((each.apply, each.draw(like, generator)) for each in chosen))


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


@dataclass(frozen=True)
class Augmentation:
    """How it draws for images, of which nothing but number, size and device counts, and what it does to
    them then.
    """

    draw: Callable[[Tensor, Generator], tuple[Tensor, ...]]
    apply: Callable[..., Tensor]


def _crop(*, padding: int = CROP_PADDING) -> Augmentation:
    return Augmentation(partial(draw_crop, padding=padding), partial(crop, padding=padding))


def _translate(*, pixels: int) -> Augmentation:
    """Source: airbench, Jordan 2024, arXiv:2404.00498."""
    return Augmentation(partial(draw_crop, padding=pixels), partial(translate, pixels=pixels))


def _trivial_augment() -> Augmentation:
    return Augmentation(
        lambda like, generator: draw_policy(like, TRIVIAL_AUGMENT, generator),
        lambda images, which, strength: apply_policy(images, TRIVIAL_AUGMENT, which, strength),
    )


def _rand_augment(*, operations: int, magnitude: int) -> Augmentation:
    def draw(like: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        drawn = [
            draw_policy(like, RAND_AUGMENT, generator, magnitude=magnitude)
            for _ in range(operations)
        ]
        return tuple(tensor for each in drawn for tensor in each)

    def apply(images: Tensor, *drawn: Tensor) -> Tensor:
        for which, strength in zip(drawn[::2], drawn[1::2], strict=True):
            images = apply_policy(images, RAND_AUGMENT, which, strength)
        return images

    return Augmentation(draw, apply)


AUGMENTS: dict[str, Callable[..., Augmentation]] = {
    "crop": _crop,
    "flip": lambda: Augmentation(draw_flip, flip),
    "color": lambda: Augmentation(draw_color, jitter),
    "rotate": lambda: Augmentation(draw_rotate, rotate),
    "resized_crop": lambda *, scale: Augmentation(
        partial(draw_resized_crop, scale=scale), resized_crop
    ),
    "translate": _translate,
    "erase": lambda *, probability: Augmentation(
        partial(draw_erase, probability=probability), erase
    ),
    "trivial_augment": _trivial_augment,
    "rand_augment": _rand_augment,
}
