"""What a data set consists of, in numbers and in words: for the plan, the report and the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ablate.system.text import plural


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """A data set as a study uses it. Of `train_images`, those that are neither held out nor tested, each seed
    draws `drawn_images` where that is asked for. Sizes of classes are those of the images that are not
    tested; `majority_class` is the one that most test images are of, and `majority_share` their fraction.

    `passed_over` counts files that are hidden or no images, by suffix. EXIF says of `turned_images` that they
    are turned, and `turned` is whether they were. Of images that are equal as `compared` says,
    `tested_in_training` test images are also training or validation images and `in_two_classes` stand under
    two labels; `plain_images` are of one colour, `transparent_images` had a shape in their transparency,
    which is dropped. None is what nobody has found out yet.

    Of `folds` each tests from `smallest_fold_images` to `largest_fold_images` images, and all together each
    image once: `test_images` are all, sizes of classes those of all, `train_images` and `validation_images`
    those of the first fold. None where a part is for testing.
    """

    classes: int
    train_images: int
    validation_images: int
    test_images: int
    smallest_class: str
    smallest_class_images: int
    largest_class: str
    largest_class_images: int
    majority_class: str
    majority_share: float
    drawn_images: int | None = None
    passed_over: Mapping[str, int] = field(default_factory=dict)
    turned_images: int = 0
    turned: bool = True
    compared: str | None = None
    tested_in_training: int | None = None
    in_two_classes: int | None = None
    plain_images: int | None = None
    transparent_images: int | None = None
    folds: int | None = None
    smallest_fold_images: int | None = None
    largest_fold_images: int | None = None

    def document(self) -> dict[str, Any]:
        """The same as JSON."""
        return {**asdict(self), "passed_over": dict(self.passed_over)}


def counted(data: DatasetSummary) -> str:
    """How many images of how many classes there are, and what is right of them without looking at one."""
    drawn = "" if data.drawn_images is None else f" (each seed draws {data.drawn_images:,})"
    if data.folds is not None:
        return (
            f"{data.classes:,} classes; {in_folds(data)}; of those that a fold trains on "
            f"{data.validation_images:,} are to validate{drawn}; {_sizes(data)}; always saying "
            f"{data.majority_class} is right for {100 * data.majority_share:.2f} % of the images"
        )
    return (
        f"{data.classes:,} classes; {plural(data.train_images, 'image')} to train on{drawn}, "
        f"{data.validation_images:,} to validate, {data.test_images:,} to test; {_sizes(data)}; "
        f"always saying {data.majority_class} is right for {100 * data.majority_share:.2f} % of the "
        "test images"
    )


def in_folds(data: DatasetSummary) -> str:
    """`5 folds of 320/80 images, each image tested once`."""
    low, high = data.smallest_fold_images or 0, data.largest_fold_images or 0
    rest = _span(data.test_images - high, data.test_images - low)
    return f"{data.folds} folds of {rest}/{_span(low, high)} images, each image tested once"


def _span(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


def _sizes(data: DatasetSummary) -> str:
    low, high = data.smallest_class_images, data.largest_class_images
    what = "to train on and validate" if data.folds is None else "in all"
    if low == high:
        return f"every class has {low:,} {what}"
    return f"a class has {low:,} ({data.smallest_class}) to {high:,} ({data.largest_class}) {what}"


def told(data: DatasetSummary) -> Iterator[str]:
    """What was done to files, or not, that nobody would see."""
    if data.passed_over:
        kinds = ", ".join(f"{kind} ({count:,})" for kind, count in sorted(data.passed_over.items()))
        yield f"passed over, hidden or no images: {kinds}"
    if data.turned_images and data.turned:
        yield f"{plural(data.turned_images, 'image')} turned upright, as EXIF says"
    elif data.turned_images:
        yield (
            f"EXIF says that {plural(data.turned_images, 'image')} should be turned, and as data.orientation "
            'is "as_stored" none is'
        )


def warnings(data: DatasetSummary) -> Iterator[str]:
    """What makes results on these images mean less than they seem to."""
    if data.tested_in_training and data.folds is not None:
        yield (
            f"{data.tested_in_training:,} of {plural(data.test_images, 'image')} are in other folds too, by "
            f"their {data.compared}, so that runs test what they were trained on: the accuracy is not that "
            "on images which are new; keep one of each, or give equal ones one group (data.group)"
        )
    elif data.tested_in_training:
        yield (
            f"{data.tested_in_training:,} of {plural(data.test_images, 'test image')} are also images to "
            f"train or validate on, by their {data.compared}: the accuracy is not that on images which are "
            "new; keep each image on one side"
        )
    if data.in_two_classes:
        yield (
            f"{data.in_two_classes:,} images have another label elsewhere, by their {data.compared}: "
            "one of the labels is wrong; keep the right one"
        )
    if data.plain_images:
        yield f"{plural(data.plain_images, 'image')} of a single colour" + _shape(data)
    elif data.transparent_images:
        yield f"transparency is dropped, and {plural(data.transparent_images, 'image')} had a shape in it"


def _shape(data: DatasetSummary) -> str:
    if not data.transparent_images:
        return ": there is nothing to see in them"
    return (
        f", and {data.transparent_images:,} had a shape in their transparency, which is dropped: paint "
        "them onto a background first"
    )
