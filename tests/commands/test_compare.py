"""`ablate compare`: one effect in words, the same numbers as the report's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import message, small_plan
from support.report_frames import make_frames

from ablate.commands.compare import compare_accuracies, told
from ablate.errors import DatabaseError, OptionError, UnknownNameError
from ablate.report.findings import LEAKED
from ablate.report.render import render
from ablate.report.summary import summarize
from ablate.store.writing.store import Store

FRAMES = make_frames({"none": 0.83, "up": 0.85, "same": 0.83})


@pytest.mark.slow
def test_the_baseline_and_a_variant_as_in_the_report() -> None:
    claim, evidence, cost = told(summarize(FRAMES), "none", "up")
    page = render(FRAMES)["report.md"].decode()
    assert claim.startswith("up is better than none by ")
    assert claim.partition(" by ")[2] in page
    assert evidence.split(";")[0] in page, "the same interval"
    assert cost.startswith("Cost: ")


def test_the_other_way_round_the_sign_changes_and_the_pair_stands_alone() -> None:
    claim, _, _, warning = told(summarize(FRAMES), "up", "none")
    assert claim.startswith("none is worse than up by ")
    assert "This pair was tested by itself" in warning


def test_undecided_and_equivalent_are_said() -> None:
    summary = summarize(FRAMES)
    assert told(summary, "none", "same")[0].startswith(
        "No difference found, same against none (could have seen ≥ "
    )
    wide = summarize(make_frames({"none": 0.83, "same": 0.83}, equivalence_margin=0.02))
    assert "equivalent within ±2.00 points" in told(wide, "none", "same")[0]


def test_what_cannot_be_compared_is_one_line() -> None:
    summary = summarize(FRAMES)
    said = message(UnknownNameError, lambda: told(summary, "none", "upp"))
    assert "unknown variant 'upp' (did you mean 'up'" in said
    assert "are the same network" in message(OptionError, lambda: told(summary, "up", "up"))
    nothing = replace(
        summary, variants=tuple(replace(variant, accuracies={}) for variant in summary.variants)
    )
    assert "has no finished run yet" in message(DatabaseError, lambda: told(nothing, "none", "up"))
    assert told(replace(summary, leaked=True), "none", "up") == [LEAKED]


@pytest.mark.slow
def test_the_command_reads_the_database(url: str, tmp_path: Path) -> None:
    plan, store = small_plan(), Store(url)
    store.register(plan)
    store.close()
    name = plan.cells[1].variant.name
    said = message(DatabaseError, lambda: compare_accuracies("none", name, plan.study, None, url))
    assert said.startswith("none has no finished run yet")


@pytest.mark.parametrize("devices", [("one",), ("one", "two")])
def test_speed_is_compared_under_one_condition(devices: tuple[str, ...]) -> None:
    frames = make_frames({"none": 0.83, "up": 0.85}, devices=devices)
    _, _, cost = told(summarize(frames), "none", "up")
    assert cost.count("images/s") == 2, "training and inference"
    assert "two" not in cost
