"""Tiny ImageNet as it is packed: `train/<class>/images/…`, and `val/images/…` with a file of its classes.

Source: Stanford CS231N's tiny-imagenet-200.zip. Its test images have no public labels and are not used.
"""

from __future__ import annotations

from ablate.datasets.layouts.base import TEST_FRACTION, Arrangement, Asked, Tree
from ablate.datasets.layouts.parts import TEST, TRAIN, part_of
from ablate.errors import DataError

ANNOTATIONS = "val/val_annotations.txt"


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
    images = f"{above}val/images/"
    for file, label in _labels(tree, files[0]).items():
        places[f"{images}{file}"] = f"{TEST}/{label}/{file}"
    unused = [
        name for name in tree.folders if name.startswith(above) and part_of(name[len(above) :])
    ]
    rest = ("not used: test/, whose labels are not known",) if f"{above}test" in unused else ()
    told = 'parts: training on train/, validation on a part of it, test on val/ (data.test = "val")'
    return Arrangement(places, told=(told, *rest))


def _labels(tree: Tree, name: str) -> dict[str, str]:
    """Each image's class."""
    try:
        lines = [line.split("\t") for line in tree.read(name).decode().splitlines() if line]
        return {line[0]: line[1] for line in lines}
    except (UnicodeDecodeError, IndexError) as error:
        raise DataError(
            f"{tree.source}: {name} is no table of an image and its class in each line ({error}); fetch "
            "it again"
        ) from error
