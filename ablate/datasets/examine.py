"""What the arrays of a dataset are, found once and remembered in the cache: repeated and plain images.

Arrays are compared and not files: two files of one image differ in a date. Whatever is remembered is
believed only of the very arrays that it was found in.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.datasets import cache
from ablate.datasets.arrays import PIECE_BYTES, let_go
from ablate.datasets.base import Dataset, Images
from ablate.datasets.repeats import Repeats, find_repeats
from ablate.errors import DataError, OutputError
from ablate.system.digest import digest

VERSION = 1


@dataclass(frozen=True)
class Examined:
    """`plain` images are of a single colour, `shaped_by_alpha` ones have a shape in their transparency;
    `side` is that of the arrays in pixels.
    """

    side: int
    plain: int
    shaped_by_alpha: int
    repeats: Repeats


def examine(dataset: Dataset, images: Images) -> Examined:
    """Compare the images of a dataset with each other.

    Raises:
        DataError: all to train on, or all to test, are one and the same.
    """
    found = _remembered(dataset, images.hashes)
    if found is None:
        found = _examined(images)
        _remember(dataset, images, found)
    refuse_dead(dataset, found.repeats, found.shaped_by_alpha)
    return found


def examined_before(dataset: Dataset) -> Examined | None:
    """What was found in the dataset's arrays; None where nobody has made them yet."""
    return _remembered(dataset, None)


def refuse_dead(dataset: Dataset, repeats: Repeats, shaped_by_alpha: int = 0) -> None:
    """Raise where nothing can be learnt, or nothing be told.

    Raises:
        DataError: all images to train on, or all to test, are one and the same.
    """
    if not repeats.dead:
        return
    training = repeats.distinct_train == 1
    part, what = ("to train on", "learnt") if training else ("to test", "told")
    why = (
        f": in {shaped_by_alpha:,} files the shape is in the transparency (alpha), which is dropped; "
        "paint them onto a background first"
        if shaped_by_alpha
        else f" once they are {dataset.image_size}×{dataset.image_size}; look at the files"
    )
    raise DataError(
        f"{dataset.label}: all images {part} are one and the same, so that nothing can be {what}{why}"
    )


def _examined(images: Images) -> Examined:
    train, train_plain = _hashes(images.train_images)
    test, test_plain = _hashes(images.test_images)
    val, val_plain = _hashes(images.val_images) if images.val_images is not None else ([], 0)
    val_labels = images.val_labels.tolist() if images.val_labels is not None else []
    parts = (train, images.train_labels.tolist(), test, images.test_labels.tolist())
    repeats = find_repeats(*parts, val, val_labels, folds=images.train_folds)
    side = int(images.train_images.shape[1])
    return Examined(side, train_plain + test_plain + val_plain, images.shaped_by_alpha, repeats)


def _hashes(images: NDArray[np.uint8]) -> tuple[list[bytes], int]:
    """A hash of each image, and how many are of one colour; of a memory map little is in memory at a time."""
    found, plain = [], 0
    each = max(1, PIECE_BYTES // max(1, images[:1].nbytes))
    for start in range(0, len(images), each):
        for image in images[start : start + each]:
            found.append(hashlib.blake2b(image.tobytes(), digest_size=16).digest())
            plain += not (image != image[0, 0]).any()
        let_go(images)
    return found, plain


def _name(dataset: Dataset) -> str:
    return f"examined-{digest([dataset.content_hash(), dataset.image_size])}"


def _remember(dataset: Dataset, images: Images, found: Examined) -> None:
    content = {"version": VERSION, "of": dict(images.hashes), **asdict(found)}
    with contextlib.suppress(OutputError):  # found again next time
        cache.store_json(_name(dataset), {**content, "seal": digest(content)})


def _remembered(dataset: Dataset, hashes: Any) -> Examined | None:
    """None where there is nothing, or of other arrays."""
    stored: Any = cache.load_json(_name(dataset))
    try:
        content = {key: value for key, value in stored.items() if key != "seal"}
        if stored["seal"] != digest(content) or content.pop("version") != VERSION:
            return None
        of, repeats = content.pop("of"), content.pop("repeats")
        same = hashes is None or of == dict(hashes)
        return Examined(**content, repeats=Repeats(**repeats)) if same else None
    except (AttributeError, KeyError, TypeError):
        return None
