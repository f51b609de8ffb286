"""What of a search has failed is named, and trained again when that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conftest import Shell, rows_of

from ablate.job import session

STUDY = """
name = "s"
dataset = "digits"
image_size = 8
backbone = "cbam_cnn(width=0.25)"
seeds = 1

[recipe]
epochs = 1
batch_size = 256
augment = []
precision = "fp32"

[[grid]]
attention = "none"

[search]
sampler = "grid"
trials = 2
seeds = 1
confirm = 1
confirm_seeds = 2
racing = false

[search.parameters]
attention = ["se"]
position = ["pool3"]
reduction = [2, 4]
"""
SEARCH = ("search", "s.toml", "--no-probe", "--device", "cpu", "--executor", "inprocess")
STATES = "SELECT state FROM trials ORDER BY number"
URL = "sqlite:///results/ablation.db"
AGAIN = "--retry-failed trains runs that failed again"


@pytest.fixture
def ablate(shell: Shell) -> Shell:
    (shell.folder / "s.toml").write_text(STUDY)
    return shell


def _breaking(variant: str, seed: int) -> Callable[..., Any]:
    """Builds networks, but none of this seed with this in its name."""
    build = session.build

    def broken(given: Any, classes: int, size: int, of_seed: int) -> Any:
        if of_seed == seed and variant in given.name:
            raise RuntimeError(f"{given.name} breaks")
        return build(given, classes, size, of_seed)

    return broken


@pytest.mark.slow
def test_a_failed_trial_is_tried_again_when_that_is_asked_for(
    ablate: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(session, "build", _breaking("r=2", 1))
        code, out, _ = ablate(*SEARCH)
    assert (code, "1 failed, in " in out, AGAIN in out) == (1, True, True)
    assert rows_of(URL, STATES) == [("failed",), ("complete",)]
    code, out, _ = ablate(*SEARCH)
    assert (code, "0 runs trained" in out) == (1, False), "by itself it stays so"
    code, out, _ = ablate(*SEARCH, "--retry-failed")
    assert (code, "0 failed, in " in out, AGAIN in out) == (0, True, False)
    assert rows_of(URL, STATES) == [("complete",)] * 2
    assert rows_of(URL, "SELECT count(*) FROM trials WHERE reason IS NOT NULL") == [(0,)]


@pytest.mark.slow
def test_a_failed_run_that_confirms_is_named_and_trained_again(
    ablate: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(session, "build", _breaking("", 1001))
        code, out, _ = ablate(*SEARCH)
    assert code == 1
    assert "2 trials (2 now) of 2 variants, 2 runs trained, 0 failed" in out
    told = " ".join(out.split())  # a terminal breaks lines
    assert "not confirmed by none, seed 1001: this run failed: RuntimeError: none breaks" in told, (
        told
    )
    assert AGAIN in out
    assert ablate(*SEARCH)[0] == 1
    code, out, _ = ablate(*SEARCH, "--retry-failed", "--max-runs", "1")
    assert (code, AGAIN in out) == (1, True), "the other one keeps its error"
    code, out, _ = ablate(*SEARCH, "--retry-failed")
    assert (code, "on 2 fresh seeds" in out) == (0, True)
    assert rows_of(URL, "SELECT count(*) FROM runs WHERE status = 'finished'") == [(6,)]


def test_nothing_is_trained_where_the_copy_alone_is_made_anew(ablate: Shell) -> None:
    code, _, errors = ablate(*SEARCH, "--retry-failed", "--rebuild")
    assert (code, errors.count("\n")) == (2, 1)
    assert "leave one of them out" in errors
