"""A run with a fresh seed that failed is named, makes the command exit with 1, and is trained when asked."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Shell, rows_of

import ablate.job.session

STUDY = """
name = "again"
dataset = "digits"
image_size = 8
backbone = "cbam_cnn(width=0.25)"
seeds = 1

[recipe]
epochs = 1
batch_size = 256
augment = []

[[grid]]
attention = "none"

[search]
sampler = "grid"
trials = 2
seeds = 1
confirm = 2
confirm_seeds = 2

[search.parameters]
attention = ["se"]
position = ["pool1"]
reduction = [2, 4]
"""
SEARCH = ("search", "again.toml", "--device", "cpu", "--no-probe", "--executor", "inprocess")
WHY = "ZeroDivisionError: division by zero"
AGAIN = "--retry-failed trains runs that failed again"


@pytest.mark.slow
def test_runs_that_failed_are_named_until_they_are_trained_again(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shell.folder / "again.toml").write_text(STUDY)
    url = f"sqlite:///{shell.folder / 'results' / 'ablation.db'}"
    real = ablate.job.session.build

    def broken(variant: Any, classes: int, size: int, seed: int, *rest: Any, **named: Any) -> Any:
        fresh = seed == 1001 and variant.attention != "none"
        if fresh or (seed == 1 and "r=4" in variant.name):
            return 1 / 0
        return real(variant, classes, size, seed, *rest, **named)

    with monkeypatch.context() as patched:
        patched.setattr("ablate.job.session.build", broken)
        code, out, _ = shell(*SEARCH)
        assert code == 1
        assert f"trial 1: se(pool1, r=4): seed 1 failed: {WHY}" in out
        named = f"not confirmed by se(pool1, r=2), seed 1001: this run failed: {WHY}"
        assert named in out
        assert "1 failed, in" in out
        assert AGAIN in out
    code, out, _ = shell(*SEARCH)
    assert (code, named in out, AGAIN in out) == (1, True, True), "nothing is passed over later"
    code, out, _ = shell(*SEARCH, "--retry-failed")
    assert code == 0
    assert "trial 1: se(pool1, r=4): val_accuracy" in out
    assert "failed:" not in out
    assert AGAIN not in out
    assert rows_of(url, "SELECT DISTINCT state FROM trials") == [("complete",)]
    fresh = "SELECT COUNT(*), SUM(status = 'finished') FROM runs WHERE seed > 1000"
    assert rows_of(url, fresh) == [(6, 6)]
    assert shell(*SEARCH)[0] == 0
