"""Augmentations as a recipe names them: `crop`, or with options in brackets, `crop(padding=2)`.

Known without what they name, as in `names.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ablate.errors import OptionError, StudyError, unknown
from ablate.study.options import complete_known, split_call
from ablate.study.variant import Option

AUGMENT_OPTIONS: dict[str, dict[str, Option]] = {
    "crop": {"padding": 4},
    "flip": {},
    "color": {},
    "rotate": {},
    "resized_crop": {"scale": 0.08},
    "translate": {"pixels": 2},
    "erase": {"probability": 0.5},
    "trivial_augment": {},
    "rand_augment": {"operations": 2, "magnitude": 9},
}
RANGES: dict[str, tuple[float, float]] = {
    "padding": (1, 512),
    "scale": (0.01, 1),
    "pixels": (1, 512),
    "probability": (0, 1),
    "operations": (1, 16),
    "magnitude": (0, 30),
}
"""From and to, both included."""


def parse_augment(text: str) -> tuple[str, dict[str, Option]]:
    """The name, and all options with their values.

    Raises:
        UnknownNameError: no such augmentation.
        OptionError: an option that it does not have, or a value that it cannot have.
    """
    name, given = split_call(text)
    if name not in AUGMENT_OPTIONS:
        raise unknown("augmentation", name, AUGMENT_OPTIONS)
    options = complete_known(name, AUGMENT_OPTIONS[name], given)
    for key, value in options.items():
        low, high = RANGES[key]
        if not low <= float(value) <= high:
            raise OptionError(f"{name}: {key} must be from {low:g} to {high:g}, not {value!r}")
    return name, options


def plainly(texts: Sequence[str]) -> tuple[str, ...]:
    """The same augmentations, written in one way: without spaces, and without options at their defaults.
    What is none stays as it is, for its own error.
    """
    return tuple(_plainly(text) for text in texts)


def furthest_shift(texts: Sequence[str]) -> int:
    """How many pixels the mirrored edge of an image must have; 0 where nothing mirrors it."""
    calls = [parse_augment(text) for text in texts if text.startswith("translate")]
    return max(
        (int(options["pixels"]) for name, options in calls if name == "translate"), default=0
    )


def _plainly(text: str) -> str:
    try:
        name, options = parse_augment(text)
    except StudyError:
        return text
    defaults = AUGMENT_OPTIONS[name]
    said = [
        f"{key}={type(defaults[key])(value)}"
        for key, value in options.items()
        if value != defaults[key]
    ]
    return f"{name}({', '.join(said)})" if said else name
