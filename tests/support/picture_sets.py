"""Small sets of images for tests: two classes that a network tells apart by colour, or cannot."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("cat", "dog")


def picture_set(folder: Path, *, signal: bool = True, seed: int = 0) -> Path:
    """16 images to train on and 12 to test, 32×32; without `signal` their labels are arbitrary."""
    generator = np.random.default_rng(seed)
    for split, count in (("train", 8), ("test", 6)):
        for label, name in enumerate(CLASSES):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = generator.integers(0, 100, (32, 32, 3), dtype=np.uint8)
                if signal:
                    pixels[..., 2 * label] += 150
                Image.fromarray(pixels).save(folder / split / name / f"{i:03}.png")
    return folder


def swap_labels(folder: Path) -> None:
    """What a sync that is not done, or an annotator at work, makes of it; done twice it is undone."""
    cat, dog, aside = (folder / "train" / name for name in (*CLASSES, "aside"))
    cat.rename(aside)
    dog.rename(cat)
    aside.rename(dog)


def zipped_set(path: Path, *, signal: bool = True, seed: int = 0) -> Path:
    """The same as an archive."""
    path.parent.mkdir(parents=True)
    folder = picture_set(path.parent / "unpacked", signal=signal, seed=seed)
    with zipfile.ZipFile(path, "w") as out:
        for file in sorted(folder.rglob("*.png")):
            out.write(file, file.relative_to(folder))
    return path


def tarred(folder: Path, path: Path) -> Path:
    """A folder as an archive."""
    with tarfile.open(path, "w") as out:
        for file in sorted(folder.rglob("*")):
            out.add(file, file.relative_to(folder), recursive=False)
    return path
