"""A search whose networks begin with a file of weights is another search once the file has other content."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Shell, rows_of

from ablate.model import build
from ablate.study import Variant
from ablate.train.weights import weights_to_bytes

STUDY = """
name = "begun"
dataset = "digits"
image_size = 8
backbone = "cbam_cnn(width=0.25)"
weights = "began.safetensors"
seeds = 1

[recipe]
epochs = 1
batch_size = 256
augment = []

[[grid]]
attention = "none"

[search]
sampler = "random"
trials = 1
seeds = 1

[search.parameters]
attention = ["se"]
position = ["pool1"]
reduction = [4]
"""
SEARCH = ("search", "begun.toml", "--device", "cpu", "--no-probe", "--executor", "inprocess")


def save_weights(folder: Path, seed: int) -> None:
    net = build(Variant("cbam_cnn(width=0.25)"), 10, 8, seed)
    (folder / "began.safetensors").write_bytes(weights_to_bytes(net))


@pytest.mark.slow
def test_a_search_begins_anew_when_its_weights_have_changed(shell: Shell) -> None:
    (shell.folder / "begun.toml").write_text(STUDY)
    url = f"sqlite:///{shell.folder / 'results' / 'ablation.db'}"
    for seed in (1, 1, 2):  # the second search of the same weights asks for nothing
        save_weights(shell.folder, seed)
        assert shell(*SEARCH)[0] == 0
    keys = rows_of(url, "SELECT run_keys FROM trials")
    assert len(keys) == len(set(keys)) == 2, "each with runs of its own"
    assert shell("report", "begun.toml")[0] == 0
    report = (shell.folder / "reports" / "begun" / "report.md").read_text()
    assert "1 trial, asked by random, of 1 variant" in report
