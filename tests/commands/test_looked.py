"""Whoever is shown a verdict has looked; a report says so where seeds were added afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Shell, claim_one, rows_of

from ablate.plan import make_plan
from ablate.result import Finished
from ablate.stats.looks import ADDED, LOWERED
from ablate.store.writing.store import Store
from ablate.study.file import load_study

pytestmark = pytest.mark.usefixtures("words_alone")

STUDY = """
name = "looked"
dataset = "digits"
backbone = "cbam_cnn(width=0.25)"
seeds = 4
[recipe]
epochs = 1
[[grid]]
attention = "none"
[[grid]]
attention = "eca"
position = "pool3"
kernel_size = 3
"""
DB = "sqlite:///results.db"
HERE = ("looked.toml", "--db", DB)


def finish(seeds: int, of: int) -> None:
    """Register so many seeds of each variant, and give the first of them their results."""
    store = Store(DB)
    plan = make_plan(load_study(Path("looked.toml"), [f"seeds={of}"]))
    store.register(plan)
    keys = [str(cell.run_key) for cell in plan.cells if cell.seed <= seeds]
    while claim := claim_one(store, keys):
        right = np.random.default_rng(int(claim.run_key, 16)).random(359) < 0.9
        bits = np.packbits(right).tobytes()
        result = Finished(0.5, float(right.mean()), 1.0, bits, 1.0, 1.0, "none", "fp32")
        store.finish(claim, result, {})
    store.close()


@pytest.fixture
def looked(shell: Shell) -> Shell:
    Path("looked.toml").write_text(STUDY)
    return shell


def looks() -> list[tuple[str, str, dict[str, int], dict[str, int]]]:
    rows = rows_of(DB, "SELECT rule, command, n, planned FROM v_looks ORDER BY number")
    return [
        (rule, command, json.loads(n), json.loads(planned)) for rule, command, n, planned in rows
    ]


def report(shell: Shell) -> str:
    code, _, errors = shell("report", *HERE)
    assert (code, errors) == (0, "")
    return Path("reports/looked/report.md").read_text()


@pytest.mark.slow
def test_a_report_and_a_comparison_are_looks(looked: Shell) -> None:
    finish(2, of=4)
    report(looked)
    name = "eca(pool3, k=3)"
    two, four = {"none": 2, name: 2}, {"none": 4, name: 4}
    assert looks() == [("fixed", "report", two, four)]
    report(looked)
    looked("compare", "none", name, "--study", *HERE)
    assert len(looks()) == 1, "nothing has finished since"
    finish(3, of=4)
    looked("compare", "none", name, "--study", *HERE)
    assert looks()[1:] == [("fixed", "compare", {"none": 3, name: 3}, four)]


@pytest.mark.slow
def test_what_decides_nothing_is_no_look(looked: Shell) -> None:
    finish(1, of=4)
    report(looked)
    assert looks() == []


@pytest.mark.slow
def test_a_check_looks_at_nothing_and_finds_the_report_as_it_was_written(looked: Shell) -> None:
    finish(4, of=4)
    report(looked)
    assert len(looks()) == 1
    finish(5, of=5)
    looked("report", *HERE, "--check")
    assert len(looks()) == 1
    report(looked)
    code, _, _ = looked("report", *HERE, "--check")
    assert code == 0


@pytest.mark.slow
def test_looking_half_way_is_allowed(looked: Shell) -> None:
    finish(2, of=4)
    report(looked)
    finish(4, of=4)
    assert "exploratory" not in report(looked)


@pytest.mark.slow
def test_seeds_that_were_added_after_a_look_are_told(looked: Shell) -> None:
    finish(4, of=4)
    assert "exploratory" not in report(looked)
    finish(6, of=6)
    assert f"This is {ADDED.partition(' (')[0]} (on 20" in report(looked)
    _, out, _ = looked("compare", "none", "eca(pool3, k=3)", "--study", *HERE)
    assert f"This is {ADDED.partition(' (')[0]} (on 20" in out


@pytest.mark.slow
def test_seeds_that_were_taken_away_after_a_look_are_told(looked: Shell) -> None:
    finish(4, of=4)
    report(looked)
    finish(3, of=3)
    assert f"This is {LOWERED.partition(' (')[0]}" in report(looked)
