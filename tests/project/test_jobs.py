"""The first hour: its jobs followed word for word, what commands need, weights without ablate."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import typer.main
from conftest import Shell
from PIL import Image
from safetensors.torch import save_file

from ablate.attention import complete
from ablate.cli import app
from ablate.drive import costs
from ablate.measure.throughput import Protocol
from ablate.model import build
from ablate.study import Variant
from ablate.system.software.imports import ALLOWED

ROOT = Path(__file__).parents[2]
HOUR = (ROOT / "docs" / "first-hour.md").read_text(encoding="utf-8")
TUTORIALS = (ROOT / "docs" / "tutorials.md").read_text(encoding="utf-8")
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]

SHORT = ("--set", "recipe.epochs=1", "--set", "seeds=1")
TRAINING = (*SHORT, "--device", "cpu", "--workers", "1")
SMALL = ("--set", "image_size=16", "--set", "backbone=cbam_cnn(width=0.5)")
LEFT_OUT = {"dashboard", "measure"}
"""The one does not end by itself, the other cannot be made short and has tests of its own."""


def section(page: str, heading: str) -> str:
    (found,) = re.findall(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL
    )
    return str(found)


def block(text: str, language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return str(found)


def needs() -> dict[str, list[str]]:
    """The table: each command → its cells."""
    found: dict[str, list[str]] = {}
    for line in section(HOUR, "Which command needs what").splitlines():
        names, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            found |= dict.fromkeys(re.findall(r"`([^`]+)`", names), cells)
    return found


def walk(shell: Shell, text: str, extra: dict[str, Sequence[str]]) -> None:
    """Every command of a section in its order, made short by what is added to it."""
    for line in block(text, "sh").splitlines():
        _, command, *words = shlex.split(line)
        if command not in LEFT_OUT:
            code, _, errors = shell(command, *words, *extra.get(command, ()))
            assert code == 0, (line, errors)


# ── what commands need ────────────────────────────────────────────────────────────────────────────


def test_every_command_has_its_needs() -> None:
    assert {name.split()[0] for name in needs()} == set(COMMANDS)


def test_what_may_import_is_what_has_the_option() -> None:
    said = {name.split()[0] for name, cells in needs().items() if cells[3] != "no"}
    options = {name: {o for p in c.params for o in p.opts} for name, c in COMMANDS.items()}
    assert said == {name for name, given in options.items() if "--allow-import" in given}


@pytest.mark.slow
def test_commands_that_need_no_torch_load_none(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How long it is measured is no matter here.
    monkeypatch.setattr(costs, "quick", lambda _subjects: Protocol("quick", 3, 1, 0.01))
    shutil.copy(ROOT / "studies" / "cbam_small.toml", shell.folder / "small.toml")
    (shell.folder / "runs.csv").write_text("variant,seed,accuracy\nnone,1,0.9\nse,1,0.8\n")
    assert shell("run", "small.toml", *TRAINING, *SMALL)[0] == 0
    lines = [
        ["init", "--study", "digits"],
        ["report", "small.toml", *SHORT, *SMALL],
        ["compare", "none", "cbam", "--study", "small.toml", *SHORT, *SMALL],
        ["profile", "none", "cbam", "--study", "small.toml", *SHORT, *SMALL],
        ["status"],
        ["study", "list"],
        ["export"],
        ["import", "export", "--db", "sqlite:///copy.db"],
        ["import-results", "runs.csv", "--study", "theirs"],
        ["report", "theirs"],
        ["merge", "sqlite:///copy.db", "sqlite:///results/ablation.db"],
        ["study", "rename", "small.toml", "smaller", "--db", "sqlite:///copy.db"],
        ["study", "delete", "smaller", "--yes", "--db", "sqlite:///copy.db"],
    ]
    script = (
        "import sys, json, ablate.cli\n"
        "for line in json.loads(sys.argv[1]):\n"
        "    sys.argv = ['ablate', *line]\n"
        "    try: ablate.cli.main()\n"
        "    except SystemExit as end: assert not end.code, line\n"
        "    assert 'torch' not in sys.modules, line\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(lines)],
        cwd=shell.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    without = {name.split()[0] for name, cells in needs().items() if cells[0] == "no"}
    assert {line[0] for line in lines} == without - LEFT_OUT


# ── the three jobs ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def own_folder(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A folder with the page's network and photographs of two classes."""
    job = section(HOUR, "Your own network, to the table of a paper")
    (shell.folder / "net.py").write_text(block(job, "py"))
    for label, colour in (("day", 200), ("night", 40)):
        for part, count in (("train", 20), ("test", 8)):
            folder = shell.folder / "photos" / part / label
            folder.mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (36, 32), (colour, 9 * i, colour)).save(folder / f"{i}.png")
    # What a command adds to, for itself and its workers.
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(ALLOWED, "")
    return shell


@pytest.mark.slow
def test_a_single_file_is_a_backbone(own_folder: Shell) -> None:
    job = section(HOUR, "Your own network, to the table of a paper")
    lines = [shlex.split(line)[1:] for line in block(job, "sh").splitlines()[:2]]
    assert [line[0] for line in lines] == ["init", "plan"]
    try:
        assert own_folder(*lines[0])[0] == 0
        code, out, errors = own_folder(*lines[1], "--no-probe")
    finally:
        sys.modules.pop("net", None)
    assert (code, errors) == (0, "")
    assert "se(body, r=16)" in out, "the variant that the page compares"


@pytest.mark.slow
def test_a_network_of_ones_own_gets_to_a_papers_table(own_folder: Shell) -> None:
    extra = {
        "run": (*TRAINING, "--no-measure"),
        **dict.fromkeys(("report", "compare", "explain"), SHORT),
    }
    try:
        walk(own_folder, section(HOUR, "Your own network, to the table of a paper"), extra)
    finally:
        sys.modules.pop("net", None)
    (report,) = re.findall(r"`(reports/\S+)/report.html` to read, `\1/table.tex`", HOUR)
    (shown,) = re.findall(r"in `(reports/\S+)`", HOUR)
    table = (own_folder.folder / report / "table.tex").read_text()
    assert "toprule" in table
    assert (own_folder.folder / shown / "heat-maps-1.png").exists()


@pytest.mark.slow
def test_the_tutorials_on_a_laptop(shell: Shell) -> None:
    shutil.copytree(ROOT / "studies", shell.folder / "studies")
    extra = {
        "run": (*TRAINING, "--no-measure"),
        **dict.fromkeys(("report", "compare", "explain", "tensorboard"), SHORT),
    }
    walk(shell, section(TUTORIALS, "On a laptop"), extra)
    assert (shell.folder / "reports" / "cbam_small" / "report.html").exists()
    assert list((shell.folder / "results" / "tensorboard").rglob("events*"))


@pytest.mark.slow
def test_a_search_gets_to_a_notebook(shell: Shell) -> None:
    shutil.copytree(ROOT / "studies", shell.folder / "studies")
    budget = [f"search.{key}={value}" for key, value in BUDGET.items()]
    short = (*SHORT, *(word for each in budget for word in ("--set", each)))
    extra = {"search": (*short, "--device", "cpu", "--workers", "1"), "report": short}
    job = section(HOUR, "A search, to a notebook")
    walk(shell, job, extra)
    done = subprocess.run(
        [sys.executable, "-c", block(job, "python")],
        cwd=shell.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "none" in done.stdout
    assert list((shell.folder / "reduction-results").glob("*.parquet"))


BUDGET = {"trials": 2, "seeds": 1, "confirm": 1, "confirm_seeds": 2}


# ── weights without ablate ────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_plain_pytorch_takes_the_weights(tmp_path: Path) -> None:
    net = build(complete(Variant("torchvision:resnet18", "se", "layer*.*.bn2")), 10, 32, 1).eval()
    save_file(net.state_dict(), tmp_path / "kept.safetensors")
    code = block(section(HOUR, "Trained weights, without ablate"), "py")
    assert "ablate" not in code
    code = re.sub(r"results/weights/\w+\.safetensors", str(tmp_path / "kept.safetensors"), code)
    (tmp_path / "plain.py").write_text(code)
    plain = runpy.run_path(str(tmp_path / "plain.py"))["net"]
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(plain(x), net(x))
