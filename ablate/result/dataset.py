"""What a data set consists of, in numbers and in words: for the plan, the report and the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ablate.system.messages.language import N_, _, amount

UNEVEN = N_(
    "a class has {low:,} ({smallest_class}) to {high:,} ({largest_class}) to train on and validate"
)
UNEVEN_IN_ALL = N_("a class has {low:,} ({smallest_class}) to {high:,} ({largest_class}) in all")
IN_NO_CLASS = "in_no_class"
"""As what images are counted that lie beside class folders or parts: a kind of what is passed over."""


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """A data set as a study uses it. Of `train_images`, those that are neither held out nor tested, each seed
    draws `drawn_images` where that is asked for. Sizes of classes are those of the images that are not
    tested; `majority_class` is the one that most test images are of, and `majority_share` their fraction.

    `passed_over` counts files that are hidden or no images, by suffix, and images `IN_NO_CLASS`. EXIF says
    of `turned_images` that they are turned, and `turned` is whether they were. Of images that are equal as
    `compared` says, `tested_in_training` test images are also training or validation images and
    `in_two_classes` stand under two labels; `plain_images` are of one colour, `transparent_images` had a
    shape in their transparency, which is dropped. None is what nobody has found out yet.

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
    drawn = (
        ""
        if data.drawn_images is None
        else _(" (each seed draws {drawn_images:,})", drawn_images=data.drawn_images)
    )
    if data.folds is not None:
        return _(
            "{classes:,} classes; {folds}; of those that a fold trains on {validation_images:,} "
            "are to validate{drawn}; {sizes}; always saying {majority_class} is right for "
            "{majority_share:.2f} % of the images",
            classes=data.classes,
            folds=in_folds(data),
            validation_images=data.validation_images,
            drawn=drawn,
            sizes=_sizes(data),
            majority_class=data.majority_class,
            majority_share=100 * data.majority_share,
        )
    return _(
        "{classes:,} classes; {images} to train on{drawn}, {validation_images:,} to "
        "validate, {test_images:,} to test; {sizes}; always saying {majority_class} "
        "is right for {majority_share:.2f} % of the test images",
        classes=data.classes,
        images=amount(data.train_images, "image"),
        drawn=drawn,
        validation_images=data.validation_images,
        test_images=data.test_images,
        sizes=_sizes(data),
        majority_class=data.majority_class,
        majority_share=100 * data.majority_share,
    )


def in_folds(data: DatasetSummary) -> str:
    """`5 folds of 320/80 images, each image tested once`."""
    low, high = data.smallest_fold_images or 0, data.largest_fold_images or 0
    rest = _span(data.test_images - high, data.test_images - low)
    return _(
        "{folds} folds of {rest}/{tested} images, each image tested once",
        folds=data.folds,
        rest=rest,
        tested=_span(low, high),
    )


def _span(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


def _sizes(data: DatasetSummary) -> str:
    low, high = data.smallest_class_images, data.largest_class_images
    if low == high:
        return (
            _("every class has {low:,} to train on and validate", low=low)
            if data.folds is None
            else _("every class has {low:,} in all", low=low)
        )
    return _(
        UNEVEN if data.folds is None else UNEVEN_IN_ALL,
        low=low,
        smallest_class=data.smallest_class,
        high=high,
        largest_class=data.largest_class,
    )


def compared_by(data: DatasetSummary) -> str:
    """By what images were compared: their files, or their pixels at a size."""
    kind, _of, size = str(data.compared).partition(" at ")
    return _("pixels at {size}", size=size) if size else _("files") if kind == "files" else kind


def told(data: DatasetSummary) -> Iterator[str]:
    """What was done to files, or not, that nobody would see."""
    passed = dict(data.passed_over)
    if loose := passed.pop(IN_NO_CLASS, 0):
        yield _("not used: {images} in no class", images=amount(loose, "image"))
    if passed:
        kinds = ", ".join(f"{kind} ({count:,})" for kind, count in sorted(passed.items()))
        yield _("passed over, hidden or no images: {kinds}", kinds=kinds)
    if data.turned_images and data.turned:
        yield _("{images} turned upright, as EXIF says", images=amount(data.turned_images, "image"))
    elif data.turned_images:
        yield (
            _(
                "EXIF says that {images} should be turned, and as data.orientation is "
                '"as_stored" none is',
                images=amount(data.turned_images, "image"),
            )
        )


def warnings(data: DatasetSummary) -> Iterator[str]:
    """What makes results on these images mean less than they seem to."""
    if data.tested_in_training and data.folds is not None:
        yield (
            _(
                "{tested_in_training:,} of {images} are in other folds too, by their {compared}, so "
                "that runs test what they were trained on: the accuracy is not that on images which "
                "are new; keep one of each, or give equal ones one group (data.group)",
                tested_in_training=data.tested_in_training,
                images=amount(data.test_images, "image"),
                compared=compared_by(data),
            )
        )
    elif data.tested_in_training:
        yield (
            _(
                "{tested_in_training:,} of {test_images} are also images to train or "
                "validate on, by their {compared}: the accuracy is not that on images which "
                "are new; keep each image on one side",
                tested_in_training=data.tested_in_training,
                test_images=amount(data.test_images, "test image"),
                compared=compared_by(data),
            )
        )
    if data.in_two_classes:
        yield (
            _(
                "{in_two_classes:,} images have another label elsewhere, by their "
                "{compared}: one of the labels is wrong; keep the right one",
                in_two_classes=data.in_two_classes,
                compared=compared_by(data),
            )
        )
    if data.plain_images:
        yield _(
            "{images} of a single colour{shape}",
            images=amount(data.plain_images, "image"),
            shape=_shape(data),
        )
    elif data.transparent_images:
        yield _(
            "transparency is dropped, and {images} had a shape in it",
            images=amount(data.transparent_images, "image"),
        )


def _shape(data: DatasetSummary) -> str:
    if not data.transparent_images:
        return _(": there is nothing to see in them")
    return _(
        ", and {transparent_images:,} had a shape in their transparency, which is "
        "dropped: paint them onto a background first",
        transparent_images=data.transparent_images,
    )
