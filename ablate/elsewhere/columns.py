"""What the columns of a file mean, and which of the two kinds of files it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ablate.elsewhere.cells import Column, shown
from ablate.elsewhere.sheets import Sheet
from ablate.errors import DataError, nearest
from ablate.result.metrics import Split
from ablate.study.metrics import ACCURACY, METRICS

SEED = ("seed", "run", "repeat")
"""The first of these that is there numbers the runs of a variant."""
TEST = ("test_accuracy", "accuracy")
OF_IMAGES = ("image", "label", "predicted")
PROBABILITY = "probability"
FAILED = ("status", "failure")
NUMBERS = ("epochs", "seconds", "parameters", "macs")
MOST_NAMED = 8


@dataclass(frozen=True)
class Columns:
    """The place of each column by what it means; `metrics` are beside accuracy, by split and name."""

    sheet: Sheet
    place: Mapping[str, int]
    metrics: Mapping[tuple[Split, str], int]
    by_image: bool
    unused: tuple[str, ...]

    def of(self, meaning: str) -> Column:
        """The column that means this, under the name that it has in the file."""
        return self.at(self.place[meaning])

    def at(self, place: int) -> Column:
        """The column that stands there."""
        return Column(self.sheet.file, self.sheet.columns[place], self.sheet.decimal_comma)

    @property
    def notes(self) -> tuple[str, ...]:
        """Which columns nothing was made of, and which was perhaps meant."""
        if not self.unused:
            return ()
        known = (
            "variant",
            *SEED,
            *TEST,
            *OF_IMAGES,
            PROBABILITY,
            "val_accuracy",
            *NUMBERS,
            *METRICS,
        )
        listed = [f"{shown(name)}{nearest(name, known)}" for name in self.unused[:MOST_NAMED]]
        more = f", … ({len(self.unused)} in all)" if len(self.unused) > MOST_NAMED else ""
        return (f"columns that are not used: {', '.join(listed)}{more}",)


def columns_of(sheet: Sheet) -> Columns:
    """What the columns mean.

    Raises:
        DataError: one that is needed is missing, or two mean the same.
    """
    names = {name: place for place, name in enumerate(sheet.columns) if name}
    if not names:
        raise DataError(f"{sheet.file}: is empty: its first row names the columns: {_wanted()}")
    of_images = [name for name in OF_IMAGES if name in names]
    accuracy = [name for name in TEST if name in names]
    if of_images and len(of_images) < len(OF_IMAGES) and not accuracy:
        missing = next(name for name in OF_IMAGES if name not in names)
        raise _missing(sheet, missing, "a row for each image has image, label and predicted")
    by_image = len(of_images) == len(OF_IMAGES)
    place = {"variant": _needed(sheet, names, ("variant",))}
    place["seed"] = _needed(sheet, names, SEED)
    if by_image:
        place |= {name: names[name] for name in (*OF_IMAGES, PROBABILITY) if name in names}
        return Columns(sheet, place, {}, True, _unused(sheet, place, {}))
    if len(accuracy) > 1:
        raise DataError(
            f"{sheet.file}: has {accuracy[0]} and {accuracy[1]}: keep the one that is meant"
        )
    place["test_accuracy"] = _needed(sheet, names, TEST)
    optional = ("val_accuracy", *FAILED, *NUMBERS)
    place |= {name: names[name] for name in optional if name in names}
    metrics = _metrics(sheet, names)
    return Columns(sheet, place, metrics, False, _unused(sheet, place, metrics))


def _metrics(sheet: Sheet, names: Mapping[str, int]) -> dict[tuple[Split, str], int]:
    found: dict[tuple[Split, str], int] = {}
    splits: tuple[tuple[str, Split], ...] = (
        ("", "test"),
        ("test_", "test"),
        ("val_", "validation"),
    )
    for metric in METRICS:
        for prefix, split in splits:
            name = prefix + metric
            if metric == ACCURACY or name not in names:
                continue
            if (split, metric) in found:
                raise DataError(f"{sheet.file}: has {metric} and test_{metric}: keep one of them")
            found[split, metric] = names[name]
    return found


def _needed(sheet: Sheet, names: Mapping[str, int], meant: tuple[str, ...]) -> int:
    found = next((names[name] for name in meant if name in names), None)
    if found is None:
        raise _missing(sheet, meant[0], f"a file has {_wanted()}")
    return found


def _missing(sheet: Sheet, name: str, rule: str) -> DataError:
    listed = ", ".join(map(shown, sheet.columns[:MOST_NAMED]))
    more = ", …" if len(sheet.columns) > MOST_NAMED else ""
    return DataError(
        f"{sheet.file}: has no column {name}{nearest(name, sheet.columns)}: {rule}; its first row has: "
        f"{listed}{more}"
    )


def _wanted() -> str:
    return "variant, seed and test_accuracy, or variant, seed, image, label and predicted"


def _unused(
    sheet: Sheet, place: Mapping[str, int], metrics: Mapping[tuple[Split, str], int]
) -> tuple[str, ...]:
    used = {*place.values(), *metrics.values()}
    return tuple(name for i, name in enumerate(sheet.columns) if i not in used and name)
