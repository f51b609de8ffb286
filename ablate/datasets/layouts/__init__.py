"""The ways in which images lie in a source. To add one: a module beside this one, and a line in `LAYOUTS`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from unicodedata import normalize

from ablate.datasets.layouts import classes, splits, table, tiny_imagenet
from ablate.datasets.layouts.base import AS_IT_LIES, Arrangement, Asked, Tree, listed, may_be_image
from ablate.datasets.layouts.parts import NAMES, TRAIN, part_of
from ablate.errors import DataError, nearest

LAYOUTS: dict[str, Callable[[Tree, Asked], Arrangement | None]] = {
    "tiny_imagenet": tiny_imagenet.find,
    "splits": splits.find,
    "table": table.find,
    "classes": classes.find,
}
"""Name → what finds such a layout, or says that it is another one. The first that is found is taken."""

HOW = "put images at train/<class>/<name>.jpg and test/<class>/<name>.jpg"

__all__ = ["AS_IT_LIES", "HOW", "LAYOUTS", "Arrangement", "Asked", "Tree", "arrange"]


def arrange(tree: Tree, asked: Asked) -> Arrangement:
    """Where each image of a source belongs.

    Raises:
        DataError: it lies in none of the layouts, or not as asked.
    """
    for find in LAYOUTS.values():
        if (found := find(tree, asked)) is not None:
            _refuse_parts(tree, asked, found)
            return _in_one_form(found)
    raise DataError(f"{tree.source}: {_unknown(tree, asked)}")


def _refuse_parts(tree: Tree, asked: Asked, found: Arrangement) -> None:
    """Folds deal all images of a source; one with parts was divided by somebody who had reasons.

    Raises:
        DataError: there are parts, and folds are asked for.
    """
    if asked.folds is None or found.holds_out or not found.places:
        return
    parts = sorted({place.partition("/")[0] for place in found.places.values()})
    raise DataError(
        f"{tree.source}: says which images are {listed(parts)}, and data.folds = {asked.folds} would test "
        "each of them once: leave data.folds out, or give images without parts (class folders alone, or a "
        "table without the column split)"
    )


def _in_one_form(found: Arrangement) -> Arrangement:
    """Classes whose names differ only in how Unicode writes an accent are one: macOS writes it apart.
    Where all are written alike they stay as they are.
    """
    classes = {place.split("/", 2)[1] for place in (*found.places.values(), *found.class_folders)}
    forms = Counter(normalize("NFC", name) for name in classes)
    names = {name: normalize("NFC", name) for name in classes if forms[normalize("NFC", name)] > 1}
    if not names:
        return found

    def renamed(place: str) -> str:
        part, name, *rest = place.split("/", 2)
        return "/".join([part, names.get(name, name), *rest])

    return replace(
        found,
        places={name: renamed(place) for name, place in found.places.items()},
        class_folders=frozenset(map(renamed, found.class_folders)),
        groups={renamed(place): group for place, group in found.groups.items()},
    )


def _unknown(tree: Tree, asked: Asked) -> str:
    """What is missing, and what is there that is near to it."""
    if not any(map(may_be_image, tree.files)):
        return f"no image where one is expected; {HOW}"
    trains = sorted(name for name in tree.folders if part_of(name.rpartition("/")[2]) == TRAIN)
    seen = f"{listed(f'{name}/' for name in trains)} is there; " if trains else ""
    if trains and asked.test is not None:
        return f"has no {asked.test}/ beside train/ (data.test); {seen}{HOW}"
    if trains:
        return (
            f"has no test/{_near(tree, trains[0])}; {seen}{HOW}, or name that folder with --data: "
            "of class folders alone a part is held out"
        )
    return (
        f"no image where one is expected; {HOW}, in class folders alone, or with a table of labels"
    )


def _near(tree: Tree, train: str) -> str:
    """`(did you mean 'tset'?)`: a folder beside train/ that is nearly called as one to test on."""
    above = train.rpartition("/")[0]
    beside = [n.rpartition("/")[2] for n in tree.folders if n.rpartition("/")[0] == above]
    others = [name for name in beside if part_of(name) is None]
    hints = (
        nearest(name, others) for part, names in NAMES.items() if part != TRAIN for name in names
    )
    return next(filter(None, hints), "")
