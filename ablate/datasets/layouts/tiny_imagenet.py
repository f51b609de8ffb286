"""Tiny ImageNet as it is packed: `train/<class>/images/…`, and `val/images/…` with a file of its classes.

Source: Stanford CS231N's tiny-imagenet-200.zip. Its test images have no public labels and are not used.
"""

from __future__ import annotations

from ablate.datasets.layouts.base import (
    TEST_FRACTION,
    Arrangement,
    Asked,
    Tree,
    listed,
    may_be_image,
)
from ablate.datasets.layouts.parts import TEST, TRAIN, part_of
from ablate.errors import DataError
from ablate.system.messages.text import plural

ANNOTATIONS = "val/val_annotations.txt"
MOST_NAMED = 5


def find(tree: Tree, asked: Asked) -> Arrangement | None:
    """None where that file is not there.

    Raises:
        DataError: it cannot be read, or a part to test on is asked for that has no labels.
    """
    files = [name for name in tree.files if f"/{name}".endswith(f"/{ANNOTATIONS}")]
    if len(files) != 1 or asked.labels is not None:
        return None
    above = files[0].removesuffix(ANNOTATIONS)
    if asked.test not in (None, "val") or asked.test_fraction != TEST_FRACTION:
        raise DataError(
            f"{tree.source}: of {above}train/, val/ and test/ only val/ can be tested on, since its labels "
            "are known; leave data.test and data.test_fraction out"
        )
    places = {
        name: f"{TRAIN}/{inner}"
        for name in tree.files
        if name.startswith(f"{above}train/") and "/" in (inner := name[len(f"{above}train/") :])
    }
    loose = {name for name in tree.files if name.startswith(f"{above}train/")} - places.keys()
    tested, rest = _tested(tree, files[0], f"{above}val/")
    places |= tested
    unused = [
        name for name in tree.folders if name.startswith(above) and part_of(name[len(above) :])
    ]
    if f"{above}test" in unused:
        rest = (*rest, "not used: test/, whose labels are not known")
    told = 'parts: training on train/, validation on a part of it, test on val/ (data.test = "val")'
    return Arrangement(places, unplaced=frozenset(loose), told=(told, *rest))


def _tested(tree: Tree, table: str, val: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """The images of `val/` with their places, and a line on those that its file does not name.

    Raises:
        DataError: it names images that are not there, or one twice.
    """
    labels, images = _labels(tree, table), f"{val}images/"
    there = {name for name in tree.files if name.startswith(val) and may_be_image(name)}
    if missing := [file for file in labels if f"{images}{file}" not in there]:
        raise DataError(
            f"{tree.source}: {table} names {plural(len(missing), 'image')} that are not there: "
            f"{listed(map(repr, missing), MOST_NAMED)}; add them or remove their lines"
        )
    places = {f"{images}{file}": f"{TEST}/{label}/{file}" for file, label in labels.items()}
    unnamed = len(there - places.keys())
    line = f"not used: {plural(unnamed, 'file')} of {val} that {ANNOTATIONS} does not name"
    return places, (line,) if unnamed else ()


def _labels(tree: Tree, name: str) -> dict[str, str]:
    """Each image's class."""
    try:
        lines = [line.split("\t") for line in tree.read(name).decode().splitlines() if line]
        found = {line[0]: line[1] for line in lines}
        if twice := [line[0] for line in lines if found[line[0]] != line[1]]:
            raise DataError(
                f"{tree.source}: {name} has {twice[0]!r} twice, with different classes; keep one"
            )
        return found
    except (UnicodeDecodeError, IndexError) as error:
        raise DataError(
            f"{tree.source}: {name} is no table of an image and its class in each line ({error}); fetch "
            "it again"
        ) from error
