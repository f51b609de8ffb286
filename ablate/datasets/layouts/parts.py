"""The parts of a data set, and the names that people give them."""

from __future__ import annotations

TRAIN, VALIDATION, TEST = PARTS = ("train", "val", "test")
ALL = "all"
"""The part of images of which some are yet to be held out for testing, or all to be dealt into folds."""
FOLD = "fold-"

NAMES = {
    TRAIN: ("train", "training"),
    VALIDATION: ("val", "valid", "validation"),
    TEST: ("test", "testing"),
}
"""Part → what its folder, its column's value or its array may be called, in any case."""

_PART_OF = {name: part for part, names in NAMES.items() for name in names}
SLASH = "\N{DIVISION SLASH}"


def part_of(name: str) -> str | None:
    """`train` of `Training`; None if it names no part."""
    return _PART_OF.get(name.strip().lower())


def fold_part(fold: int) -> str:
    """`fold-003`: the part of the images that the third fold tests. In the order of their names folds are in
    theirs.
    """
    return f"{FOLD}{fold:03d}"


def fold_of(place: str) -> int | None:
    """3 of `fold-003/cat/1.jpg`; None of an image that is in no fold."""
    part = place.partition("/")[0]
    return int(part.removeprefix(FOLD)) if part.startswith(FOLD) else None


def folder_name(label: str) -> str:
    """A label as the name of a class folder, in which no slash can be."""
    return label.strip().replace("/", SLASH)
