"""docs/own-attention.md followed word for word: from a file with a class to the report, in six lines."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
from conftest import Shell, rows_of
from support.public_attention import CoordAtt

from ablate.measure.contract import cost_of, subject_of
from ablate.system.software.imports import ALLOWED

PAGE = (Path(__file__).parents[2] / "docs" / "own-attention.md").read_text(encoding="utf-8")
SHORT = ("--set", "recipe.epochs=1", "--set", "seeds=1")
EXTRA = {
    "plan": (*SHORT, "--no-probe"),
    "run": (*SHORT, "--device", "cpu", "--executor", "inprocess", "--no-measure", "--keep", "all"),
    **dict.fromkeys(("report", "explain", "take"), SHORT),
}


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def folder(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A folder with the page's two files."""
    (shell.folder / "att.py").write_text(block("py"))
    (shell.folder / "mine.toml").write_text(block("toml"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(ALLOWED, "")
    return shell


@pytest.mark.slow
def test_the_module_holds_the_contract_and_costs_what_it_should(folder: Shell) -> None:
    line, *_ = block("sh").splitlines()
    try:
        code, told, errors = folder(*shlex.split(line)[1:])
        assert (code, errors) == (0, "")
        assert "13 checks held, 0 not" in told
        cost = cost_of(subject_of("att:CoordAtt", {"reduction": 4}))
        known = sum(parameter.numel() for parameter in CoordAtt(64, reduction=4).parameters())
        assert cost.parameters == known
    finally:
        sys.modules.pop("att", None)


@pytest.mark.slow
def test_six_lines_lead_to_the_report(folder: Shell) -> None:
    lines = block("sh").splitlines()
    assert len(lines) == 6
    try:
        for line in lines:
            _, command, *words = shlex.split(line)
            code, _, errors = folder(command, *words, *EXTRA.get(command, ()))
            assert code == 0, (line, errors)
    finally:
        sys.modules.pop("att", None)
    table = (folder.folder / "reports" / "mine" / "report.md").read_text()
    assert "att:CoordAtt(pool1, r=4)" in table
    found = rows_of(
        f"sqlite:///{folder.folder}/results/ablation.db",
        "SELECT DISTINCT status, reduction FROM v_runs WHERE attention = 'att:CoordAtt'",
    )
    assert found == [("finished", 4)]
    taken = (folder.folder / "mine.py").read_text()
    assert taken.splitlines()[0].endswith("Needs PyTorch and nothing else.")
