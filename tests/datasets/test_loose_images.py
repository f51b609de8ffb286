"""Images that lie where none is expected are never dropped without a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import message
from support.layout_sources import CLASSES, SIDE, encoded, files, npz, tarred, write, zipped

from ablate.datasets.images import ImageFiles
from ablate.datasets.passed import MOST_KINDS, OTHERS, count_passed
from ablate.errors import DataError
from ablate.result.dataset import IN_NO_CLASS

PARTS = files(train=4, test=2)
ALONE = {name.removeprefix("train/"): data for name, data in files(train=5).items()}
LOOSE = {"cover.jpg": encoded(90, 0, "JPEG"), "scan": encoded(91, 1)}
OTHER = {"README.md": b"# pets", "LICENSE": b"free", "empty.jpg": b""}
PACKED: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {
    "folder": lambda at, content: write(at / "s", content),
    "zip": lambda at, content: zipped(at / "s.zip", content),
    "tar": lambda at, content: tarred(at / "s.tar", content),
}


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("above", ["", "a/b/"])
@pytest.mark.parametrize("content", [PARTS, ALONE], ids=["parts", "classes"])
def test_images_beside_parts_and_classes_are_counted(
    tmp_path: Path, content: dict[str, bytes], above: str, packed: str
) -> None:
    content = {f"{above}{name}": data for name, data in content.items()}
    before = ImageFiles(zipped(tmp_path / "before.zip", content), SIDE)
    loose = {f"{above}{name}": data for name, data in (LOOSE | OTHER).items()}
    found = ImageFiles(PACKED[packed](tmp_path, content | loose), SIDE)
    assert found.scanned().passed_over == {IN_NO_CLASS: 2}
    assert found.content_hash() == before.content_hash()
    assert len(found.load().train_labels) == 8


def test_they_are_counted_apart_however_many_kinds_there_are() -> None:
    found: Counter[str] = Counter()
    for i in range(MOST_KINDS + 5):
        count_passed(found, f".{i}x")
    count_passed(found, IN_NO_CLASS)
    assert (found[OTHERS], found[IN_NO_CLASS]) == (5, 1)


# ── Tiny ImageNet, and arrays ─────────────────────────────────────────────────────────────────────


def tiny(at: Path, *lines: str) -> ImageFiles:
    content = {n.replace("/0", "/images/0"): d for n, d in files(train=4).items()}
    content |= {f"val/images/v{i}.png": encoded(90 + i, i % 2) for i in range(4)}
    table = "".join(f"{line}\t0\t0\n" for line in lines).encode()
    return ImageFiles(write(at / "s", content | {"val/val_annotations.txt": table}), SIDE)


ROWS = [f"v{i}.png\t{CLASSES[i % 2]}" for i in range(4)]


def test_images_that_the_annotations_do_not_name_are_told(tmp_path: Path) -> None:
    assert len(tiny(tmp_path / "whole", *ROWS).notes()) == 1
    some = tiny(tmp_path, *ROWS[:2])
    assert some.test_count() == 2
    assert some.notes()[1:] == (
        "not used: 2 files of val/ that val/val_annotations.txt does not name",
    )


def test_annotations_of_other_images_are_refused(tmp_path: Path) -> None:
    line = message(DataError, tiny(tmp_path, *ROWS, "v9.png\tcat").content_hash)
    assert "names 1 image that are not there: 'v9.png'" in line
    line = message(DataError, tiny(tmp_path, *ROWS, "v0.png\tdog").content_hash)
    assert "has 'v0.png' twice, with different classes" in line


def test_an_image_of_tiny_imagenet_in_no_class_is_refused(tmp_path: Path) -> None:
    dataset = tiny(tmp_path, *ROWS)
    write(dataset.path, {"train/loose.png": encoded(1, 0)})
    assert "'train/loose.png' is an image in no class" in message(DataError, dataset.content_hash)


def test_arrays_of_a_part_without_labels_are_refused(tmp_path: Path) -> None:
    path = npz(tmp_path / "s.npz", train=4, test=2)
    with np.load(path) as arrays:
        np.savez(path, **dict(arrays), val_images=arrays["test_images"])
    line = message(DataError, ImageFiles(path, SIDE).content_hash)
    assert "has val_images and no val_labels" in line
