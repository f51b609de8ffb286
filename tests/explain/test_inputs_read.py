"""A photograph that is explained is treated as the images that a network was trained on."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.picture_sets import picture_set

from ablate.datasets import open_dataset
from ablate.explain.inputs import image_file
from ablate.pixels.geometry import ORIENTATION
from ablate.study import DataTable


def phone() -> bytes:
    exif, file = Image.Exif(), io.BytesIO()
    exif[ORIENTATION] = 6
    pixels = np.random.default_rng(0).integers(0, 256, (20, 44, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", exif=exif)
    return file.getvalue()


@pytest.mark.parametrize(
    "table", [{}, {"fit": "pad"}, {"fit": "squash"}, {"channels": 1}, {"orientation": "as_stored"}]
)
def test_a_photograph_is_read_as_the_dataset_is(table: dict[str, Any], tmp_path: Path) -> None:
    folder = picture_set(tmp_path / "set")
    photo = folder / "train" / "cat" / "a-phone.jpg"  # the first of its class and split
    (photo.parent / "000.png").rename(photo.parent / "b.png")
    photo.write_bytes(phone())
    dataset = open_dataset("images", folder, 16, DataTable(**table))
    images = dataset.load()
    row = sorted(p.name for p in photo.parent.iterdir()).index(photo.name)
    assert np.array_equal(image_file(photo, dataset).pixels[0], images.train_images[row])
