"""How large images are by themselves, by their headers alone."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from ablate.datasets.archive import read_members, tree_of
from ablate.datasets.layouts import AS_IT_LIES, arrange
from ablate.pixels.geometry import FORMATS, UNREADABLE


def shorter_sides(data: Path) -> Iterator[int]:
    """The shorter side of each image of a folder or archive, in pixels; what is no image is passed over here.

    Raises:
        DataError: there is nothing that can be read.
    """
    for member in read_members(data, arrange(tree_of(data), AS_IT_LIES)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Image.open(io.BytesIO(member.read()), formats=FORMATS) as image:
                    yield min(image.size)
        except (*UNREADABLE, Image.DecompressionBombError):
            continue  # the study's own reading says what is wrong with it
