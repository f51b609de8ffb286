"""What a network is shown: one image file, or images of the dataset's test set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ablate.datasets.base import Dataset, Images
from ablate.datasets.decode import decode
from ablate.errors import DataError, UnreadableImageError
from ablate.result.maps import Array, sample_rows, spread
from ablate.system.messages.language import _

MAX_FILE_BYTES = 512 * 2**20
"""More than 64 megapixels take as PNG or JPEG; decoding has its own limit in pixels."""

MAX_SAMPLES = 16
GATE_IMAGES = 1_000
"""Test images, evenly over the test set, on which the distribution of gate values is taken."""


@dataclass(frozen=True)
class Inputs:
    """Images to look at, and what they are.

    Shape: pixels (N, H, W, 3) uint8; `names` and `true` have one entry each, `true` None where
    nobody knows the class.
    """

    pixels: Array
    names: tuple[str, ...]
    true: tuple[str | None, ...]


def image_file(path: Path, dataset: Dataset) -> Inputs:
    """An image file, brought to the study's image size as the images of its dataset are.

    Raises:
        DataError: it cannot be read, is no such image or has more than 64 megapixels.
    """
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise DataError(f"{path}: {size:,} bytes; an image has at most {MAX_FILE_BYTES:,}")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        pixels = decode(data, dataset.image_size, dataset.reading)
    except UnreadableImageError as error:
        raise DataError(f"{path}: cannot be read ({error}); give another image") from error
    return Inputs(pixels[None], (path.name,), (None,))


def test_samples(images: Images, count: int) -> Inputs:
    """The first test image of each class in turn, then the second of each, …

    Raises:
        DataError: a number of samples that no page can show.
    """
    if not 1 <= count <= MAX_SAMPLES:
        raise DataError(f"--samples {count}: must be from 1 to {MAX_SAMPLES}")
    rows = sample_rows(images.test_labels, count)
    true = tuple(images.classes[label] for label in images.test_labels[rows])
    names = tuple(_("test image {row}", row=images.first_test + row) for row in rows)
    return Inputs(images.test_images[rows], names, true)


def gate_images(images: Images) -> Array:
    """The test images on which gates are described, (N, H, W, 3) uint8."""
    rows = spread(range(len(images.test_images)), GATE_IMAGES)
    chosen: Array = images.test_images[rows]
    return chosen


def normalised(pixels: Array, images: Images) -> torch.Tensor:
    """Pixels (N, H, W, 3) uint8 → (N, 3, H, W) float32 by the dataset's mean and deviation."""
    mean, std = (np.asarray(values, dtype=np.float32) for values in (images.mean, images.std))
    scaled = (pixels.astype(np.float32) / 255 - mean) / std
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)))
