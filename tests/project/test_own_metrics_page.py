"""docs/own-metrics.md followed word for word: from a file with a function to the report and compare."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Shell

from ablate.stats.own_metric import find_own_metric
from ablate.system.software.imports import ALLOWED

PAGE = (Path(__file__).parents[2] / "docs" / "own-metrics.md").read_text(encoding="utf-8")
SHORT = ("--set", "recipe.epochs=1", "--set", "seeds=2")
EXTRA = {
    "plan": ("--no-probe",),
    "run": ("--device", "cpu", "--executor", "inprocess", "--no-measure", "--no-probe"),
}


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def folder(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A folder with the page's two files."""
    (shell.folder / "kap.py").write_text(block("py"))
    (shell.folder / "graded.toml").write_text(block("toml"))
    monkeypatch.syspath_prepend(str(shell.folder))
    monkeypatch.setenv(ALLOWED, "kap")
    monkeypatch.delitem(sys.modules, "kap", raising=False)
    return shell


def test_the_function_is_cohens_kappa(folder: Shell) -> None:
    labels = np.array([0, 0, 1, 2])
    probabilities = np.eye(3)[[0, 1, 1, 0]]
    plain = find_own_metric("kap:kappa")(labels, probabilities)
    ordered = find_own_metric("kap:kappa(weights=quadratic)")(labels, probabilities)
    # Half are right, by chance 2/4·2/4 + 1/4·2/4 = 3/8; squares are 5/4 in the mean, by chance 1.
    assert plain == pytest.approx((1 / 2 - 3 / 8) / (1 - 3 / 8))
    assert ordered == pytest.approx(1 - (5 / 4) / 1)


@pytest.mark.slow
def test_its_lines_lead_to_the_report(folder: Shell) -> None:
    for line in block("sh").splitlines():
        _, command, *words = shlex.split(line)
        code, _, errors = folder(command, *words, *SHORT, *EXTRA.get(command, ()))
        assert code == 0, (line, errors)
    page = (folder.folder / "reports" / "graded" / "report.md").read_text()
    assert "The verdicts are about kappa(weights=quadratic)" in page.replace("\\", "")
