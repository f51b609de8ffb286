"""Several kinds in one network, from the study file to the report and out of the database."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from conftest import Shell

STUDY = """
name = "kinds"
dataset = "digits"
image_size = 16
backbone = "cbam_cnn(width=0.25)"
baseline = "none"
seeds = 2

[recipe]
epochs = 1
augment = []

[[grid]]
attention = "none"

[[grid]]
attention = "se"
position = ["pool1", "pool3", "pool1+pool3"]
reduction = 4

[[grid]]
attention = ["se+eca", "cbam_spatial+se", "att:Gate+se"]
position = "pool1+pool3"
reduction = 4
"""
GATE = """
from torch import nn

class Gate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x * self.fc(x.mean((2, 3), keepdim=True)).sigmoid()
"""
JOINED = {
    "se+eca(pool1+pool3, r=4, k=0)": {"se"},
    "cbam_spatial+se(pool1+pool3, r=4, k=7)": {"cbam_spatial", "se"},
    "att:Gate+se(pool1+pool3, r=4)": {"se"},
}
"""Variants with the kinds for which a kernel is chosen."""


def written(shell: Shell) -> None:
    (shell.folder / "kinds.toml").write_text(STUDY)
    (shell.folder / "att.py").write_text(GATE)


@pytest.mark.slow
def test_a_plan_lists_joined_kinds_and_asks_for_the_allowance(shell: Shell) -> None:
    written(shell)
    code, _, told = shell("plan", "kinds.toml")
    assert (code, told) == (
        2,
        "ablate: att:Gate: a study may not import att; add --allow-import att\n",
    )
    code, out, _ = shell("plan", "kinds.toml", "--allow-import", "att", "--format", "json")
    cells = {cell["variant"]: cell for cell in json.loads(out)["cells"]}
    assert code == 0
    assert set(JOINED) < set(cells)
    mixed = cells["se+eca(pool1+pool3, r=4, k=0)"]
    assert (mixed["attention"], mixed["position"]) == ("se+eca", "pool1+pool3")
    assert (mixed["reduction"], mixed["kernel_size"]) == (4, 0)
    assert mixed["attention_parameters"] == 2 * 8 * 2 + 3


@pytest.mark.slow
@pytest.mark.usefixtures("words_alone")
def test_a_study_with_joined_kinds_is_trained_reported_and_taken(shell: Shell) -> None:
    written(shell)
    code, _, told = shell("run", "kinds.toml", "--allow-import", "att", "--no-measure")
    assert (code, told) == (0, "")
    with sqlite3.connect(shell.folder / "results" / "ablation.db") as database:
        rows = database.execute("select variant, attention, status from v_runs").fetchall()
        paths = database.execute(
            "select c.variant, r.path from runs r join cells c using (run_key)"
        )
        kernels = {name: set(json.loads(path)["kernels"]) for name, path in paths}
    assert {status for *_, status in rows} == {"finished"}
    assert all(attention == name.partition("(")[0] for name, attention, _ in rows)
    assert {name: kernels[name] for name in JOINED} == JOINED
    assert shell("report", "kinds.toml")[0] == 0
    page = (shell.folder / "reports" / "kinds" / "report.md").read_text()
    assert "| Which kind? | se+eca |" in page
    assert "| Which place? | pool1+pool3 |" in page
    for number, name in enumerate(JOINED):
        out = f"net{number}.safetensors"
        assert shell("take", name, "--study", "kinds.toml", "--out", out)[0] == 0
        assert Path(shell.folder / out).with_suffix(".py").exists()
    explained = shell("explain", "cbam_spatial+se(pool1+pool3)", "--study", "kinds.toml")
    assert explained[0] == 0
    assert "trained: run" in explained[1]
