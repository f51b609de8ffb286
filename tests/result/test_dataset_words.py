"""A data set in words: what is said of it, and when nothing has to be said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ablate.result.dataset import IN_NO_CLASS, DatasetSummary, counted, told, warnings

FINE = DatasetSummary(
    classes=2, train_images=54, validation_images=6, test_images=40,
    smallest_class="ill", smallest_class_images=3, largest_class="healthy", largest_class_images=57,
    majority_class="healthy", majority_share=0.95,
    compared="files", tested_in_training=0, in_two_classes=0, plain_images=0, transparent_images=0,
)  # fmt: skip


def test_what_is_there_is_counted() -> None:
    assert counted(FINE) == (
        "2 classes; 54 images to train on, 6 to validate, 40 to test; a class has 3 (ill) to 57 (healthy) to "
        "train on and validate; always saying healthy is right for 95.00 % of the test images"
    )
    even = replace(FINE, smallest_class_images=57, drawn_images=1000)
    assert "54 images to train on (each seed draws 1,000)" in counted(even)
    assert "every class has 57 to train on and validate" in counted(even)


def test_nothing_is_said_of_what_is_fine() -> None:
    unknown: dict[str, Any] = dict.fromkeys(
        ("compared", "tested_in_training", "in_two_classes", "plain_images", "transparent_images")
    )
    for data in (FINE, replace(FINE, **unknown)):
        assert [*told(data), *warnings(data)] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"tested_in_training": 8},
            "8 of 40 test images are also images to train or validate on, by their files",
        ),
        ({"in_two_classes": 3}, "3 images have another label elsewhere, by their files"),
        ({"plain_images": 2}, "2 images of a single colour: there is nothing to see in them"),
        (
            {"plain_images": 2, "transparent_images": 1},
            "2 images of a single colour, and 1 had a shape in their transparency",
        ),
        ({"transparent_images": 1}, "transparency is dropped, and 1 image had a shape in it"),
    ],
)
def test_what_makes_results_mean_less_is_warned_of(change: dict[str, Any], said: str) -> None:
    [line] = warnings(replace(FINE, **change))
    assert line.startswith(said)


def test_what_was_done_to_files_is_told() -> None:
    passed = replace(FINE, passed_over={".txt": 1200, "hidden": 1})
    assert list(told(passed)) == ["passed over, hidden or no images: .txt (1,200), hidden (1)"]
    loose = replace(FINE, passed_over={IN_NO_CLASS: 1200})
    assert list(told(loose)) == ["not used: 1,200 images in no class"]
    assert len(list(told(replace(loose, passed_over={IN_NO_CLASS: 1, ".txt": 1})))) == 2
    turned = replace(FINE, turned_images=3)
    assert list(told(turned)) == ["3 images turned upright, as EXIF says"]
    [stored] = told(replace(turned, turned=False))
    assert stored.startswith("EXIF says that 3 images should be turned")
