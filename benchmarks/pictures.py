"""The tutorial's images: Pillow objects, transformed one at a time, collected by a DataLoader."""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from ablate.datasets import augment
from ablate.datasets.base import Images, Triple
from ablate.datasets.moves import CROP_PADDING
from benchmarks.field import RECIPE, Field

Example = tuple[torch.Tensor, int]


def tutorial_transform(mean: Triple, std: Triple) -> Callable[[Image.Image], torch.Tensor]:
    """The chain of the tutorial, in its order and with its amounts."""
    jitter = augment.JITTER
    chain: Callable[[Image.Image], torch.Tensor] = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=CROP_PADDING),
            transforms.RandomHorizontalFlip(augment.FLIP_PROBABILITY),
            transforms.ColorJitter(jitter, jitter, jitter, hue=augment.HUE_JITTER),
            transforms.RandomRotation(augment.ROTATION_DEGREES),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    return chain


class Pictures(Dataset[Example]):
    """Images in memory as torchvision's CIFAR10 has them: made into a Pillow object when asked for."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self.transform = tutorial_transform(images.mean, images.std)

    def __len__(self) -> int:
        return len(self._images.train_labels)

    def __getitem__(self, row: int) -> Example:
        picture = Image.fromarray(self._images.train_images[row])
        return self.transform(picture), int(self._images.train_labels[row])


def tutorial_loader(field: Field, workers: int) -> DataLoader[Example]:
    """The tutorial's DataLoader; its workers live from epoch to epoch."""
    return DataLoader(
        Pictures(field.images()),
        batch_size=RECIPE.batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=field.device == "cuda",
    )
