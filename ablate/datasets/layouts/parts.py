"""The parts of a data set, and the names that people give them."""

from __future__ import annotations

TRAIN, VALIDATION, TEST = PARTS = ("train", "val", "test")
ALL = "all"
"""The part of images of which some are yet to be held out for testing."""

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


def folder_name(label: str) -> str:
    """A label as the name of a class folder, in which no slash can be."""
    return label.strip().replace("/", SLASH)
