"""docs/pretrained.md followed word for word: pretrained, fine-tuned, taken out, used."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import Shell
from PIL import Image
from test_jobs import block, section

from ablate.errors import WeightsError
from ablate.model import build
from ablate.network.weights_file import find_weights
from ablate.study import Variant
from ablate.study.file import load_study

PAGE = (Path(__file__).parents[2] / "docs" / "pretrained.md").read_text(encoding="utf-8")
SHORT = (
    *("--set", 'recipe.phases=[{epochs=1, freeze="backbone"}, {epochs=1}]'),
    *("--set", "seeds=1", "--set", "image_size=32"),
)
TRAINING = ("--no-measure", "--no-probe", "--device", "cpu", "--workers", "1")


@pytest.fixture
def photos(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A folder with the page's study, photographs of two classes, and weights in torchvision's cache."""
    (shell.folder / "tune.toml").write_text(
        block(section(PAGE, "A study from trained weights"), "toml")
    )
    for label, colour in (("day", 200), ("night", 40)):
        for part, count in (("train", 20), ("test", 8)):
            folder = shell.folder / "photos" / part / label
            folder.mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (36, 32), (colour, 9 * i, colour)).save(folder / f"{i}.png")
    monkeypatch.setenv("TORCH_HOME", str(shell.folder / "torch"))
    study = load_study(shell.folder / "tune.toml")
    with pytest.raises(WeightsError) as caught:
        find_weights(str(study.weights), study.backbone)
    place = Path(str(caught.value).rpartition(" at ")[2])
    place.parent.mkdir(parents=True)
    torch.save(build(Variant(study.backbone), 1000, 64, 7).state_dict(), place)
    return shell


@pytest.mark.slow
def test_the_page_is_walked_from_trained_weights_to_ten_lines_of_pytorch(photos: Shell) -> None:
    extra = {"run": (*SHORT, *TRAINING), "plan": (*SHORT, "--no-probe")}
    for line in block(section(PAGE, "Fine-tuned"), "sh").splitlines():
        _, command, *words = shlex.split(line)
        code, out, errors = photos(command, *words, *extra.get(command, SHORT))
        assert code == 0, (line, errors)
        if command == "plan":
            assert "the head is drawn anew for 2 classes: fc.weight, fc.bias" in out + errors
    report = (photos.folder / "reports" / "tune" / "report.md").read_text()
    assert "Before any training" in report
    code = block(section(PAGE, "Used in ten lines"), "py")
    assert len(code.strip().splitlines()) <= 11
    assert "ablate" not in code
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=photos.folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() in ("day", "night")


def test_the_pages_study_is_one() -> None:
    text = block(section(PAGE, "A study from trained weights"), "toml")
    assert "IMAGENET1K_V1" in text
    assert "phases" in text
