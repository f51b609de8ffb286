"""What other processes of the tests do with images; they import this and no more."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np

from ablate.datasets import Images, cache
from ablate.datasets.images import ImageFiles


def load_pictures(folder: Path) -> Images:
    """The images of a folder, prepared if nobody has."""
    return ImageFiles(folder, 32).load()


def write_half_an_entry() -> None:
    """Begin an entry of the cache, and be killed."""
    with cache.new_arrays("x") as draft:
        draft.allocate("train_images", (4, 32, 32, 3)).put(0, np.zeros((32, 32, 3), np.uint8))
        os.kill(os.getpid(), signal.SIGKILL)
