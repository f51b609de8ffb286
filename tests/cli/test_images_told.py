"""The command line says what the images are, and refuses those from which nothing can be learnt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Shell
from support.picture_sets import picture_set

STUDY = """\
name = "mine"
dataset = "images"
backbone = "cbam_cnn(width=0.25)"
seeds = 1
[recipe]
epochs = 1
batch_size = 8
precision = "fp32"
[[grid]]
attention = "none"
"""


@pytest.fixture
def pictures(shell: Shell) -> Path:
    """With a test image that is a training image of another class, and a file that is no image."""
    (shell.folder / "study.toml").write_text(STUDY)
    folder = picture_set(shell.folder / "set")
    copied = (folder / "train" / "cat" / "000.png").read_bytes()
    (folder / "test" / "dog" / "000.png").write_bytes(copied)
    (folder / "train" / "cat" / "notes.txt").write_text("no image")
    return folder


LEAK = (
    "warning: 1 of 12 test images are also images to train or validate on, by their {}: "
    "the accuracy is not that"
)


def test_a_plan_says_what_the_images_are(shell: Shell, pictures: Path) -> None:
    code, out, err = shell("plan", "study.toml", "--data", "set", "--no-probe")
    assert (code, err) == (0, "")
    assert (
        "set: 2 classes; 14 images to train on, 2 to validate, 12 to test; every class has 8" in out
    )
    assert "always saying cat is right for 50.00 % of the test images" in out
    assert LEAK.format("files") in out
    assert "warning: 2 images have another label elsewhere" in out
    assert "passed over, hidden or no images: .txt (1)" in out
    code, out, _ = shell(
        "plan",
        "study.toml",
        "--data",
        "set",
        "--no-probe",
        "--format",
        "json",
        "--set",
        "data.fit=pad",
    )
    said = json.loads(out)["data"]
    assert (said["classes"], said["test_images"], said["tested_in_training"]) == (2, 12, 1)
    assert said["passed_over"] == {".txt": 1}


@pytest.mark.slow
def test_a_run_warns_before_it_trains_and_the_report_says_so(shell: Shell, pictures: Path) -> None:
    code, out, _ = shell(
        "run", "study.toml", "--data", "set", "--workers", "1", "--device", "cpu", "--no-measure",
        "--no-probe", "--executor", "inprocess",
    )  # fmt: skip
    assert code == 0
    said = LEAK.format("pixels at 32×32")
    assert -1 < out.index(said) < out.index("1 to train on set")
    assert shell("report", "study.toml", "--data", "set", "--out", "report")[0] == 0
    found = (shell.folder / "report" / "report.md").read_text()
    assert said.removeprefix("warning: ") in found.partition("## How complete")[0]


def test_one_class_is_one_line(shell: Shell, pictures: Path) -> None:
    for split in ("train", "test"):
        for file in (pictures / split / "dog").iterdir():
            file.unlink()
        (pictures / split / "dog").rmdir()
    code, _, err = shell("plan", "study.toml", "--data", "set")
    assert code == 2
    assert (
        err
        == "ablate: set: has one class, 'cat', and there is nothing to tell apart; add another\n"
    )
