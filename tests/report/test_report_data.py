"""What a report says of the images: counts, warnings with the findings, names as text."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from support.report_frames import Page, make_frames, written

from ablate.result.dataset import DatasetSummary

pytestmark = pytest.mark.usefixtures("words_alone")

DATA = DatasetSummary(
    classes=3, train_images=4_500, validation_images=500, test_images=1_200,
    smallest_class="ill", smallest_class_images=900, largest_class="healthy", largest_class_images=2_600,
    majority_class="healthy", majority_share=0.75,
    compared="pixels at 32×32", tested_in_training=0, in_two_classes=0, plain_images=0, transparent_images=0,
)  # fmt: skip


def report(**changes: Any) -> dict[str, str]:
    frames = make_frames({"none": 0.83, "a": 0.84})
    files = written(replace(frames, data=replace(DATA, **changes)))
    return {name: content.decode() for name, content in files.items() if name.startswith("report")}


@pytest.mark.slow
def test_the_images_are_counted_in_every_form() -> None:
    files = report(drawn_images=300, passed_over={".txt": 7})
    page = Page(files["report.html"])
    cells = {row[0]: row[1] for row in page.tables["data"][1:]}
    assert cells["Classes"] == "3"
    assert cells["To train on"].split() == ["4,500", "each", "seed", "draws", "300"]
    assert (cells["To validate"], cells["To test"]) == ("500", "1,200")
    assert cells["Smallest class"].split() == ["900", "ill"]
    assert cells["Largest class"].split() == ["2,600", "healthy"]
    assert "Passed over, hidden or no images: .txt (7)." in (page.sections["data"])
    for text in ("## The images", "| To test | 1,200 |"):
        assert text in files["report.md"]
    said = json.loads(files["report.json"])["data"]
    assert (said["classes"], said["test_images"], said["drawn_images"]) == (3, 1200, 300)
    assert said["passed_over"] == {".txt": 7}


@pytest.mark.slow
def test_warnings_stand_with_the_findings() -> None:
    found = Page(report()["report.html"]).sections["findings"]
    assert "training images" not in found
    files = report(tested_in_training=40, in_two_classes=2)
    found = Page(files["report.html"]).sections["findings"]
    said = (
        "40 of 1,200 test images are also images to train or validate on, by their pixels at 32×32"
    )
    assert said in found
    assert "2 images have another label elsewhere" in found
    assert "40 of 1,200 test images" in files["report.md"].partition("## How complete")[0]


@pytest.mark.slow
def test_it_is_said_when_no_network_is_better_than_one_that_looks_at_nothing() -> None:
    said = "No variant is right more often than always saying healthy"
    assert said not in Page(report()["report.html"]).sections["findings"]
    for share in (0.84, 0.95):
        page = Page(report(majority_share=share)["report.html"])
        assert (said in page.sections["findings"]) == (share == 0.95)


@pytest.mark.slow
def test_names_of_classes_are_text() -> None:
    name = "<script>alert(1)</script> [x](http://x) `y`"
    files = report(majority_class=name, majority_share=0.95, smallest_class=name)
    assert "<script>alert" not in files["report.html"]
    assert "<script" not in files["report.md"]
    assert "](http://x)" not in files["report.md"]
    assert json.loads(files["report.json"])["data"]["majority_class"] == name


@pytest.mark.slow
def test_without_counts_there_is_no_section() -> None:
    files = written(make_frames({"none": 0.83, "a": 0.84}))
    assert "data" not in Page(files["report.html"].decode()).sections
    assert json.loads(files["report.json"])["data"] is None
