"""`ablate compare`: one effect in words, the same numbers as the report's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import message, small_plan
from support.report_frames import make_frames

from ablate.commands.compare import compare_accuracies, document, effect_of, told
from ablate.errors import DatabaseError, OptionError, UnknownNameError
from ablate.report.findings import LEAKED
from ablate.report.render import render
from ablate.report.summary import summarize
from ablate.store.writing.store import Store

FRAMES = make_frames({"none": 0.83, "up": 0.85, "same": 0.83})
ORDERS = (("none", "up"), ("up", "none"))


@pytest.mark.slow
def test_the_baseline_and_a_variant_as_in_the_report() -> None:
    claim, evidence, cost = told(summarize(FRAMES), "none", "up")
    page = render(FRAMES)["report.md"].decode()
    assert claim.startswith("up is better than none by ")
    assert claim.partition(" by ")[2] in page
    assert evidence.split(";")[0] in page, "the same interval"
    assert cost.startswith("Cost: ")


def test_the_other_way_round_only_the_sign_changes() -> None:
    summary = summarize(FRAMES)
    claim, _, _ = told(summary, "up", "none")
    assert claim.startswith("none is worse than up by ")
    there, back = (document(summary, *pair, effect_of(summary, *pair)) for pair in ORDERS)
    assert there["in_family"] is back["in_family"] is True
    one, other = there["effect"], back["effect"]
    assert (one["low"], one["high"]) == (-other["high"], -other["low"])
    assert one["difference"] == -other["difference"]
    for same in ("p_adjusted", "smallest_detectable", "seeds_for_margin", "rule", "image_share"):
        assert one[same] == other[same], same


@pytest.mark.parametrize("shift", np.linspace(0.001, 0.01, 10))
def test_no_order_decides_what_the_other_does_not(shift: float) -> None:
    others = {f"v{number}": 0.83 for number in range(12)}
    summary = summarize(make_frames({"none": 0.83, "up": 0.83 + shift, **others}, sd=0.004))
    there, back = (effect_of(summary, *pair) for pair in ORDERS)
    assert there is not None
    assert back == there.turned
    assert there == back.turned
    turned = {"better": "worse", "worse": "better"}
    assert back.verdict == turned.get(there.verdict, there.verdict)


def test_a_pair_without_the_baseline_stands_alone() -> None:
    summary = summarize(FRAMES)
    assert "This pair was tested by itself" in told(summary, "same", "up")[-1]
    found = document(summary, "same", "up", effect_of(summary, "same", "up"))
    assert found["in_family"] is False


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
