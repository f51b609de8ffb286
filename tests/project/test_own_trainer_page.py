"""docs/own-trainer.md followed word for word, and examples/trainer as it stands there."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Shell, rows_of

from ablate.plan import make_plan
from ablate.study.file import load_studies
from ablate.system.software.imports import ALLOWED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "own-trainer.md").read_text(encoding="utf-8")
SHORT = ("--set", "recipe.epochs=2", "--set", "seeds=1")
EXTRA = {
    "plan": SHORT,
    "run": (*SHORT, "--device", "cpu", "--executor", "inprocess", "--no-measure", "--no-probe"),
    "report": SHORT,
}


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def folder(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """A folder with the page's two files."""
    (shell.folder / "mytrain.py").write_text(block("py"))
    (shell.folder / "mine.toml").write_text(block("toml"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(ALLOWED, "")
    yield shell
    for name in [n for n in sys.modules if n.partition(".")[0] in ("mytrain", "sharpness")]:
        del sys.modules[name]


@pytest.mark.slow
def test_the_page_is_planned_and_its_trainer_rehearsed(folder: Shell) -> None:
    line, *_ = block("sh").splitlines()
    code, told, errors = folder(*shlex.split(line)[1:])
    assert code == 0, errors
    assert "trained by mytrain:soft(temperature=4.0)" in told
    assert "validation: 0." not in told, "what it prints is no output of ours"


@pytest.mark.slow
def test_three_lines_lead_to_the_report(folder: Shell) -> None:
    for line in block("sh").splitlines():
        _, command, *words = shlex.split(line)
        code, _, errors = folder(command, *words, *EXTRA[command])
        assert code == 0, (line, errors)
    report = (folder.folder / "reports" / "mine" / "report.md").read_text()
    assert "trainer=mytrain:soft(temperature=4.0)" in report
    found = rows_of(
        f"sqlite:///{folder.folder}/results/ablation.db",
        "SELECT status, COUNT(*) FROM v_runs GROUP BY 1",
    )
    assert found == [("finished", 10)]


@pytest.mark.slow
def test_the_example_trains_and_its_climb_changes_what_comes_out(folder: Shell) -> None:
    shutil.copytree(ROOT / "examples" / "trainer", folder.folder, dirs_exist_ok=True)
    code, _, errors = folder(
        "run", "study.toml", "--allow-import", "sharpness", *EXTRA["run"], "--set", "image_size=16"
    )
    assert code == 0, errors
    found = rows_of(
        f"sqlite:///{folder.folder}/results/ablation.db",
        "SELECT variant, test_loss FROM v_runs JOIN runs USING (run_key) ORDER BY 1, 2",
    )
    losses = {name: {loss for n, loss in found if n == name} for name, _ in found}
    assert {len(each) for each in losses.values()} == {2}, "another number with rho = 0"
    assert losses["none"] == losses["identity(pool*)"], (
        "the placebo is the network without attention"
    )


def test_the_example_is_a_study_of_two_trainers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "examples" / "trainer")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(ALLOWED, "sharpness")
    try:
        plans = [make_plan(study) for study in load_studies(Path("study.toml"))]
    finally:
        for name in [n for n in sys.modules if n.partition(".")[0] == "sharpness"]:
            del sys.modules[name]
    assert [len(plan.cells) for plan in plans] == [15, 15]
    keys = [{cell.run_key for cell in plan.cells} for plan in plans]
    assert not keys[0] & keys[1]
