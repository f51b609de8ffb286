"""What other processes of the tests do with images; they import this and no more."""

from __future__ import annotations

from pathlib import Path

from ablate.datasets import Images
from ablate.datasets.images import ImageFiles


def load_pictures(folder: Path) -> Images:
    """The images of a folder, prepared if nobody has."""
    return ImageFiles(folder, 32).load()
