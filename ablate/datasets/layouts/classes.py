"""`<class>/<image>` and no parts: some of each class are held out for testing by a fixed seed."""

from __future__ import annotations

import re

from ablate.datasets.layouts.base import Arrangement, Asked, Tree, listed, may_be_image
from ablate.datasets.layouts.parts import ALL, part_of
from ablate.errors import DataError

_OF_IMAGES = {"images", "image", "imgs", "img", "set", "data", "pictures", "photos", "files"}


def find(tree: Tree, asked: Asked) -> Arrangement | None:
    """None unless two folders or more, at the top or all in one folder, have images.

    Raises:
        DataError: they are called as parts are, which nobody calls a class.
    """
    if asked.labels is not None or asked.test is not None:
        return None
    above = _around(tree)
    if any(part_of(folder) for folder in above.split("/")[:-1]):
        return None  # train/ alone: what to test on may have been forgotten
    places = {
        name: f"{ALL}/{name[len(above) :]}"
        for name in tree.files
        if name.startswith(above) and "/" in name[len(above) :]
    }
    inside = [place.removeprefix(f"{ALL}/") for place in places.values() if may_be_image(place)]
    if len({name.partition("/")[0] for name in inside}) < 2 or _are_parts(tree, inside):
        return None
    classes = {
        f"{ALL}/{folder[len(above) :]}"
        for folder in tree.folders
        if folder.startswith(above) and "/" not in folder[len(above) :]
    }
    rest = "" if asked.folds is not None else "; training and validation on the rest"
    told = (f"parts: {asked.how_tested}{rest}",)
    loose = frozenset(name for name in tree.files if name not in places)
    return Arrangement(places, frozenset(classes), told=told, loose=loose)


def _around(tree: Tree) -> str:
    """The folder that holds everything, if there is one: `set/`, else nothing."""
    above, names = "", [name for name in tree.files if may_be_image(name)]
    while True:
        inner = [name[len(above) :] for name in names]
        tops = {name.partition("/")[0] for name in inner}
        if len(tops) != 1 or any("/" not in name for name in inner):
            return above
        above += f"{tops.pop()}/"


def _are_parts(tree: Tree, images: list[str]) -> bool:
    """Whether one of what would be classes is a part with classes of its own.

    Raises:
        DataError: they are parts by other names: a network would learn to tell training from test images.
    """
    deep = {name.partition("/")[0] for name in images if name.count("/") > 1}
    if any(part_of(name) for name in deep):
        return True
    words = {name: _words(name) for name in {image.partition("/")[0] for image in images}}
    like = {name: part_of(found[0]) or part_of(found[-1]) for name, found in words.items() if found}
    parts = {name: part for name, part in like.items() if part is not None}
    sure = [name for name in parts if len(set(parts.values())) > 1 or _OF_IMAGES & set(words[name])]
    if sure:
        raise DataError(
            f"{tree.source}: {listed(sorted(sure))} look like parts and not like classes; call them "
            "train/ and test/ and put images into class folders, or name a table of labels with data.labels"
        )
    return False


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\W_\d]+", name.lower()) if word]
