"""`ablate init`, and the page on one's own network followed word for word."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import typer.main
from conftest import Shell, message
from PIL import Image
from support.small_files import files_of_at_most

from ablate.cli import app
from ablate.commands import init as init_module
from ablate.commands.init import own_size, write_study
from ablate.commands.ready import next_steps, ready_studies
from ablate.errors import OutputError, PlacementError
from ablate.network.branches import find_branch_ends
from ablate.plan import make_plan
from ablate.study.file import load_study
from ablate.system.hardware.machine import Machine
from ablate.system.hardware.precision import BF16
from ablate.system.software.imports import ALLOWED

ROOT = Path(__file__).parents[2]
STUDIES = sorted(path.stem for path in (ROOT / "studies").glob("*.toml"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3, 4), nn.Linear(8, classes)

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))
"""
PAGE = README.partition("### Your own network and images")[2].partition("\n## ")[0]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Images of two classes, told apart by their colour."""
    for label, colour in (("day", 200), ("night", 40)):
        for part, count in (("train", 20), ("test", 4)):
            folder = tmp_path / "photos" / part / label
            folder.mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (36, 32), (colour, 10 * i, colour)).save(folder / f"{i}.png")
    return tmp_path / "photos"


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone", ["cbam_cnn", "torchvision:resnet18(stem=small)", "torchvision:mobilenet_v3_small"]
)
def test_the_study_that_is_written_can_be_planned(
    backbone: str, photos: Path, tmp_path: Path
) -> None:
    file, size = write_study(backbone, photos, tmp_path / "mine.toml", None, [])
    assert size == 32, "36×32 photographs"
    plan = make_plan(load_study(file), photos)
    assert "none" in plan.variants
    assert len(plan.variants) > 2
    said = message(OutputError, lambda: write_study(backbone, photos, file, 32, []))
    assert said == f"{file} is there already; name another file with --out"


SHORTCUT = """
from torch import nn

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.short = nn.Conv2d(8, 16, 1, 2)
        self.fc = nn.Linear(16, classes)

    def forward(self, x):
        return self.fc(self.short(self.conv(x)).mean((2, 3)))
"""


@pytest.mark.slow
def test_a_network_that_mixed_precision_crashes_on_gets_a_study_in_fp32(
    photos: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(ALLOWED, "")
    cpu = Machine(torch.device("cpu"), "a CPU", BF16, 2)
    monkeypatch.setattr(init_module, "find_machine", lambda: cpu)
    (shell.folder / "shortcut.py").write_text(SHORTCUT)
    spaced = photos.rename(photos.with_name("my\nphotos 1"))
    given = ["--data", str(spaced), "--out", "a b.toml", "--allow-import", "shortcut"]
    assert shell("init", "shortcut:Net", *given)[0] == 0
    written = (shell.folder / "a b.toml").read_text()
    assert 'precision = "fp32"' in written
    assert written.startswith("# ablate plan 'a b.toml' --data '")
    assert shell("plan", "a b.toml", "--data", str(spaced))[0] == 0
    del sys.modules["shortcut"]


@pytest.mark.slow
def test_the_places_are_listed_with_their_channels(photos: Path, tmp_path: Path) -> None:
    file, _ = write_study("torchvision:resnet18", photos, tmp_path / "a.toml", 32, [])
    text = file.read_text()
    assert re.search(r"^#   layer\*\.\*\.bn2 +64 to 512 +8$", text, re.MULTILINE)
    assert re.search(r"^#   conv1 +64 +1$", text, re.MULTILINE)
    assert "as in SE (arXiv 1709.01507) and CBAM (arXiv 1807.06521): layer*.*.bn2\n" in text
    assert (
        "# after each stage, as in BAM (arXiv 1807.06514): relu, layer1, layer2, layer3\n" in text
    )
    assert 'position = ["layer*.*.bn2", "relu", "layer1", "layer2", "layer3"]' in text


@pytest.mark.parametrize(
    ("backbone", "ends"),
    [
        ("torchvision:resnet18", ["layer1.0.bn2", "layer1.1.bn2", "layer2.0.bn2"]),
        ("torchvision:resnet50", ["layer1.0.bn3", "layer1.1.bn3", "layer1.2.bn3"]),
        (
            "torchvision:mobilenet_v2",
            ["features.3.conv.3", "features.5.conv.3", "features.6.conv.3"],
        ),
        ("torchvision:vgg11", []),
        ("cbam_cnn", []),
    ],
)
def test_the_ends_of_residual_branches(backbone: str, ends: list[str]) -> None:
    assert find_branch_ends(backbone, 10, 64)[:3] == ends


@pytest.mark.parametrize(("side", "written"), [(64, 64), (9, 9), (4, 8), (300, 224)])
def test_images_keep_their_own_size(side: int, written: int, tmp_path: Path) -> None:
    for part in ("train", "test"):
        for label in ("a", "b"):
            folder = tmp_path / "photos" / part / label
            folder.mkdir(parents=True)
            for number in range(3):
                Image.new("RGB", (side + 7, side)).save(folder / f"{number}.png")
    assert own_size(tmp_path / "photos") == written


@pytest.mark.slow
def test_what_may_be_imported_is_remembered_for_the_file_as_it_is(
    photos: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(ALLOWED, "")
    (shell.folder / "remembered.py").write_text(NET)
    given = ["--data", str(photos), "--out", "mine.toml", "--allow-import", "remembered"]
    code, out, errors = shell("init", "remembered:Net", *given)
    assert code == 0, errors
    assert out.splitlines() == [
        "wrote mine.toml for images of 32×32 pixels (image_size)",
        f"next: ablate plan mine.toml --data {photos}",
    ]
    plan = ["plan", "mine.toml", "--data", str(photos), "--no-probe"]
    assert shell(*plan)[0] == 0
    _, out, _ = shell("doctor")
    assert f"allowed to import: {shell.folder}/mine.toml: remembered (--forget FILE)" in out
    refused = (
        "ablate: remembered:Net: a study may not import remembered; add --allow-import remembered\n"
    )
    study = shell.folder / "mine.toml"
    written = study.read_text()
    study.write_text(f"{written}\n# changed")
    why = ": mine.toml is not as it was when that was given for it\n"
    assert shell(*plan) == (2, "", refused.replace("\n", why))
    shutil.copy(study, shell.folder / "other.toml")
    study.write_text(written)
    assert shell(*plan)[0] == 0
    assert shell("plan", "other.toml", *plan[2:]) == (2, "", refused)
    assert shell("doctor", "--forget", "mine.toml")[:2] == (
        0, "mine.toml: what it may import is forgotten\n",
    )  # fmt: skip
    assert shell(*plan) == (2, "", refused)
    assert shell(*plan, "--allow-import", "remembered")[0] == 0
    assert shell(*plan)[0] == 0
    (shell.folder.parent / "state" / "allowed.json").write_text('{"/x": 3, "no": {"sha256": 1}}')
    assert shell(*plan) == (2, "", refused)
    sys.modules.pop("remembered", None)


def test_nothing_is_written_for_a_network_that_cannot_be_trained(
    photos: Path, tmp_path: Path
) -> None:
    file = tmp_path / "no.toml"
    message(PlacementError, lambda: write_study("se_cnn", photos, file, 32, []))
    assert not file.exists()


@pytest.mark.slow
def test_the_page_on_your_own_network_works_as_written(
    photos: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source,) = re.findall(r"^```py\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (commands,) = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    shutil.move(photos, shell.folder)
    (shell.folder / "mypkg").mkdir()
    (shell.folder / "mypkg" / "__init__.py").write_text("")
    (shell.folder / "mypkg" / "nets.py").write_text(source)
    # What a command adds to, for itself and its workers.
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(ALLOWED, "")
    short = ["--set", "recipe.epochs=1"]
    extra = {"report": short, "run": [*short, "--seeds", "1", "--device", "cpu", "--workers", "1"]}
    extra["run"] += ["--max-runs", "1", "--no-measure"]
    for line in commands.splitlines():
        _, command, *words = shlex.split(line)
        code, _, errors = shell(command, *words, *extra.get(command, []))
        assert code == 0, errors
    for name in ("mypkg.nets", "mypkg"):
        del sys.modules[name]
    assert list((shell.folder / "reports").glob("*/report.html"))


def test_a_ready_study_is_written_as_it_is_and_never_over_another_file(shell: Shell) -> None:
    code, out, _ = shell("init", "--study", "digits")
    assert (code, out) == (
        0,
        "wrote digits.toml\nnext: ablate plan digits.toml, ablate run digits.toml, "
        "ablate report digits.toml\n",
    )
    written = shell.folder / "digits.toml"
    assert written.read_bytes() == (ROOT / "studies" / "digits.toml").read_bytes()
    written.write_text("mine")
    code, _, errors = shell("init", "--study", "digits")
    said = "ablate: digits.toml is there already; name another file with --out\n"
    assert (code, errors, written.read_text()) == (2, said, "mine")
    code, out, _ = shell("init", "--study", "digits", "--out", "my own.toml")
    assert (code, "ablate run 'my own.toml'" in out) == (0, True)
    assert shell.files() == ["digits.toml", "my own.toml"]


EITHER = (
    "init: give either a network with --data PATH, or --study NAME: a study that comes with ablate, such as "
    "digits, which needs no images"
)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], EITHER),
        (
            ["cbam_cnn", "--study", "digits"],
            EITHER,
        ),
        (["cbam_cnn"], "init cbam_cnn: name the images with --data PATH"),
        (
            ["--study", "digits", "--data", "."],
            "--data, --image-size and --allow-import belong to a network: not with --study",
        ),
        (
            ["--study", "digit"],
            "unknown study 'digit' (did you mean 'digits'?); there are: " + ", ".join(STUDIES),
        ),
        (
            ["--study", "digits", "--out", "no/a.toml"],
            "no/a.toml cannot be written: No such file or directory",
        ),
    ],
)
def test_what_init_cannot_do_is_said_in_one_line(
    arguments: list[str], said: str, shell: Shell
) -> None:
    assert shell("init", *arguments) == (2, "", f"ablate: {said}\n")
    assert shell.files() == []


@pytest.mark.parametrize("name", STUDIES)
def test_what_is_said_to_come_next_suits_the_study(name: str) -> None:
    assert name in ready_studies()
    file = ROOT / "studies" / f"{name}.toml"
    study = load_study(file)
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    steps = [shlex.split(step)[1:] for step in next_steps(name, file).split(", ")]
    for command, *arguments in steps:
        commands[command].make_context(command, arguments)
    trains = {"search"} if study.search else {"explain"} if study.backbone == "se_cnn" else {"run"}
    assert {command for command, *_ in steps} - {"plan", "report"} == trains


def test_a_ready_study_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import atexit, sys, ablate.cli\n"
        "sys.argv = ['ablate', 'init', '--study', 'digits']\n"
        "atexit.register(lambda: print('torch' in sys.modules, 'numpy' in sys.modules))\n"
        "ablate.cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "False False", "prints of others go to stderr"


def test_a_study_that_cannot_be_written_whole_is_not_there(shell: Shell) -> None:
    with files_of_at_most(10):
        code, _, errors = shell("init", "--study", "digits")
    assert (code, errors) == (2, "ablate: digits.toml cannot be written: File too large\n")
    assert shell.files() == []
