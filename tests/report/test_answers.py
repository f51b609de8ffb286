"""The sections that answer the user's question: which place, against which control, and who is picked."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from support.placed_frames import GATE, GOOD, PLACES, placed, placed_frames
from support.report_frames import make_frames, page

from ablate.page import canvas
from ablate.page.document import Block, Findings, Note, Table
from ablate.report.answer import answer
from ablate.report.cost.front import costs_less, front_blocks
from ablate.report.design import design, placements
from ablate.report.effects.controls import control_blocks
from ablate.report.effects.factors import factor_blocks
from ablate.report.effects.selection import selection_blocks
from ablate.report.effects.shapley import shares_of
from ablate.report.story import compose
from ablate.report.summary import Summary, summarize
from ablate.stats import Verdict
from ablate.stats.matched import level_contrasts
from ablate.store.reading.frames import Frames

pytestmark = pytest.mark.usefixtures("words_alone")

NEW = ("factors", "controls", "selection")
WITH_CONTROL = {"controls": ["random_gate*"]}


@pytest.fixture(scope="module")
def summary() -> Summary:
    return summarize(placed_frames(**WITH_CONTROL))


def claims(blocks: tuple[Block, ...]) -> list[str]:
    return [item.claim for block in blocks if isinstance(block, Findings) for item in block.items]


def tables(blocks: tuple[Block, ...]) -> list[Table]:
    return [block for block in blocks if isinstance(block, Table)]


def drawn(summary: Summary) -> tuple[Block, ...]:
    with canvas.style():
        return factor_blocks(summary, {})


def test_a_control_is_no_level_of_a_factor(summary: Summary) -> None:
    without = summarize(placed_frames())
    asked = [text for text in claims(drawn(without)) if text.startswith("Which kind? ")]
    assert len(asked) == 1, "the gate beside se, as no control"
    told = claims(drawn(summary))
    assert not any(text.startswith("Which kind? ") for text in told)
    assert any(text.startswith("Which place? ") for text in told)


def test_which_place_and_which_r_get_a_sentence_each(summary: Summary) -> None:
    told = claims(drawn(summary))
    (place,) = [text for text in told if text.startswith("Which place? ")]
    assert "pool1 is below the mean of the other places" in place or "pool3" in place
    (r,) = [text for text in told if text.startswith("Which r? ")]
    assert "r=4" in r
    assert "r=16" in r
    assert not any(text.startswith("Which kernel size?") for text in told)


def test_joined_kinds_are_a_kind_of_their_own_and_no_set_of_places_with_others() -> None:
    found = placed_frames()
    one, other = placed("pool1+pool3"), placed("pool1+pool2+pool3")
    names = {one: "se+cbam(pool1+pool3, r=16)", other: "cbam+se(pool1+pool3, r=16)"}
    runs = found.runs.copy()
    for name, joined in names.items():
        mine = runs["variant"] == name
        runs.loc[mine, ["variant", "attention", "position"]] = [
            joined, joined.partition("(")[0], "pool1+pool3",
        ]  # fmt: skip
    mixed = summarize(replace(found, runs=runs))
    kinds = {levels["attention"] for levels in design(mixed).values()}
    assert kinds == {"se", "se+cbam", "cbam+se", "random_gate"}
    assert not any("+" in label.partition(" ")[0] for label in placements(mixed))
    compared = level_contrasts(design(mixed), "attention")
    found_pair = compared.get(("se+cbam", "cbam+se")) or compared["cbam+se", "se+cbam"]
    assert set(found_pair.weights) == set(names.values())


def test_the_table_of_main_effects_has_every_level_that_was_matched(summary: Summary) -> None:
    main = tables(drawn(summary))[0]
    rows = [(row.cells[0].text, row.cells[1].text) for row in main.rows]
    assert ("Which place?", "pool1+pool2+pool3") in rows
    assert ("Which r?", "r=4") in rows
    # The baseline has no place, and attention "none" is no kind to compare with.
    assert not any("none" in level for _, level in rows)


@pytest.mark.slow
def test_a_name_that_several_networks_have_is_told_before_any_number_is_read() -> None:
    frames = make_frames({"none": 0.8, "a": 0.8})
    alone = [note.text for note in answer(summarize(frames))]
    assert not any(text.startswith("Not one network each") for text in alone)
    runs = frames.runs.copy()
    runs.loc[runs["variant"].eq("a") & runs["seed"].eq(2), "fingerprint"] = "another"
    [told] = [n for n in answer(summarize(replace(frames, runs=runs))) if n.tone == "warning"]
    assert told.text.startswith("Not one network each: a. Runs of other code")


def test_a_verdict_before_the_end_is_told_to_be_one() -> None:
    """As of a study of which a part shows a gain that the rest does not."""

    def warned(seeds: int, gain: float) -> str:
        frames = make_frames({"none": 0.80, "up": 0.80 + gain}, seeds=seeds)
        runs = frames.runs[frames.runs["seed"] <= 4]
        told = answer(summarize(replace(frames, runs=runs)))
        return " ".join(note.text for note in told if note.tone == "warning")

    assert warned(seeds=4, gain=0.05) == ""
    early, open_still = warned(seeds=6, gain=0.05), warned(seeds=6, gain=0.0)
    assert early.startswith("Partial: this study is not complete. 12 runs planned: 8 finished")
    assert "is wrong more often" in early
    assert open_still.startswith("Partial: ")
    assert "is wrong more often" not in open_still
    failed = make_frames({"none": 0.80, "up": 0.85}, seeds=6)
    failed.runs.loc[failed.runs["seed"] == 6, "status"] = "failed"
    [told] = [n.text for n in answer(summarize(failed)) if n.tone == "warning"]
    assert "2 failed" in told
    assert "is wrong more often" not in told, "nothing is to come"


def test_options_beyond_r_and_k_are_factors_too() -> None:
    frames = make_frames({"none": 0.8, "a": 0.8, "b": 0.8})
    runs = frames.runs.assign(
        attention=frames.runs["variant"].map({"none": "none", "a": "se", "b": "se"}),
        options=frames.runs["variant"].map({"none": "{}", "a": '{"bias": 1}', "b": '{"bias": 2}'}),
    )
    table = design(summarize(replace(frames, runs=runs)))
    assert table == {
        "a": {"attention": "se", "position": "pool*", "bias": 1},
        "b": {"attention": "se", "position": "pool*", "bias": 2},
    }


def test_shares_of_places_add_up_in_accuracy_and_in_time(summary: Summary) -> None:
    (shares,) = shares_of(summary)
    assert list(shares.accuracy) == list(PLACES)
    means = {v.name: v.accuracy.mean for v in summary.variants if v.accuracy}
    everything = placed("+".join(PLACES))
    assert shares.total == pytest.approx(means[everything] - means["none"])
    assert shares.accuracy["pool3"].above
    assert len(shares.milliseconds) == 2
    for column, each in shares.milliseconds.items():
        speeds = {v.name: v.speeds[column].images_per_second for v in summary.variants}
        more = 1000 / speeds[everything] - 1000 / speeds["none"]
        assert sum(each.values()) == pytest.approx(more)


def test_no_shares_where_a_set_of_places_was_not_run() -> None:
    frames = placed_frames()
    runs = frames.runs[frames.runs["variant"] != placed("pool1+pool3")]
    assert placements(summarize(replace(frames, runs=runs))) == {}


@pytest.mark.parametrize("layers", [True, False])
def test_a_glob_is_the_places_that_it_names(layers: bool) -> None:
    """By the layers of attention where it has any, else by the places that the study names."""
    whole, frames = placed("+".join(PLACES)), placed_frames()
    runs = frames.runs.assign(
        position=frames.runs["position"].mask(frames.runs["variant"] == whole, "pool*")
    )
    found = frames.layers
    if layers:
        rows = [
            {"variant": whole, "path": f"{p}.attention", "parameter": "w", "count": 1, "attention": True}
            for p in PLACES
        ]  # fmt: skip
        found = pd.concat([found, pd.DataFrame(rows)], ignore_index=True)
    (group,) = placements(summarize(replace(frames, runs=runs, layers=found))).values()
    assert group[frozenset(PLACES)] == whole
    assert group[frozenset()] == "none"


def test_controls_are_second_baselines(summary: Summary) -> None:
    blocks = control_blocks(summary)
    told = claims(blocks)
    assert told[0].startswith(f"The control {GATE}: No difference found")
    assert any(f"better than none and than the control {GATE}" in text for text in told)
    (table,) = tables(blocks)
    names = [row.cells[0].text for row in table.rows]
    assert GATE not in names
    assert "none" not in names
    assert len(names) == len(summary.variants) - 2


def test_a_control_that_names_nothing_is_told_and_none_is_silent() -> None:
    blocks = control_blocks(summarize(placed_frames(controls=["placebo*"])))
    assert [b.text for b in blocks if isinstance(b, Note)] == [
        "The control placebo* names no variant of this study."
    ]
    assert control_blocks(summarize(placed_frames())) == ()


def test_the_pick_is_by_validation_and_told_by_test_images(summary: Summary) -> None:
    (claim,) = claims(selection_blocks(summary))
    picked = claim.partition(" has the highest mean validation accuracy of 10")[0]
    assert picked in GOOD
    effect = next(v.effect for v in summary.variants if v.name == picked)
    assert effect is not None
    assert effect.verdict is Verdict.BETTER
    assert f"On test images: {picked} is better than none by" in claim


@pytest.mark.slow
def test_a_test_leaked_study_gets_numbers_and_no_verdict() -> None:
    frames = placed_frames(split="tutorial", **WITH_CONTROL)
    found = summarize(replace(frames, runs=frames.runs.assign(val_accuracy=None)))
    assert selection_blocks(found) == ()
    assert front_blocks(found) == ()
    blocks = (*drawn(found), *control_blocks(found))
    assert claims(blocks) == []
    cells = [cell for table in tables(blocks) for row in table.rows for cell in row.cells]
    assert {cell.tone for cell in cells} <= {"", "warning"}
    assert not any(" to " in cell.note for cell in cells)
    assert any(cell.text.startswith("+") for cell in cells)
    with canvas.style():
        sections = {section.name: section for section in compose(found).sections}
    for name in ("factors", "controls"):
        assert any(isinstance(b, Note) and "no verdict" in b.text for b in sections[name].blocks)


def test_dominated_is_said_only_where_cost_and_accuracy_are_decided(summary: Summary) -> None:
    worse = placed("pool1+pool2")
    by_name = {v.name: v for v in summary.variants}
    column = summary.main_columns[0]
    # Speeds of single medians have no interval: nothing is decided by them.
    assert not costs_less(by_name["none"], by_name[worse], summary.reference, column)
    assert costs_less(by_name["none"], by_name[worse], summary.reference, None)
    notes = [block.text for block in front_blocks(summary) if isinstance(block, Note)]
    assert notes[0].startswith("Dominated by accuracy and parameters, both decided: ")
    assert f"{worse} (by " in notes[0]
    assert f"{placed('pool3')} (by" not in notes[0]
    assert all("no variant is shown to be dominated" in text for text in notes[1:])


def test_a_decided_ratio_costs_less() -> None:
    frames = _timed(placed_frames(), placed("pool1"), (0.90, 0.88, 0.92))
    found = summarize(frames)
    by_name = {v.name: v for v in found.variants}
    column = found.main_columns[0]
    assert costs_less(by_name["none"], by_name[placed("pool1")], found.reference, column)
    one = _timed(placed_frames(), placed("pool1"), (0.90, 0.88, 0.92))
    one = summarize(replace(one, costs=one.costs.assign(processes=None)))
    by_name = {v.name: v for v in one.variants}
    assert not costs_less(by_name["none"], by_name[placed("pool1")], one.reference, column)
    close = summarize(_timed(placed_frames(), placed("pool1"), (0.99, 0.97, 1.01)))
    by_name = {v.name: v for v in close.variants}
    assert not costs_less(by_name["none"], by_name[placed("pool1")], close.reference, column)


def _timed(frames: Frames, name: str, ratio: tuple[float, float, float]) -> Frames:
    """That variant with a ratio to the baseline and its interval."""
    base = frames.costs.loc[frames.costs["variant"] == "none", "fingerprint"].iloc[0]
    columns = dict(zip(("baseline_ratio", "ratio_low", "ratio_high"), ratio, strict=True))
    costs = frames.costs.assign(baseline=base, processes=4)
    for title, value in columns.items():
        costs[title] = [value if own == name else None for own in costs["variant"]]
    return replace(frames, costs=costs)


@pytest.mark.slow
def test_the_sections_stand_in_the_report_and_only_where_there_is_something_to_say() -> None:
    found = page(placed_frames(**WITH_CONTROL)).sections
    assert set(NEW) <= set(found)
    assert "Which place?" in found["factors"]
    few = page(make_frames({"none": 0.83, "up": 0.85})).sections
    assert not {"factors", "controls"} & set(few)
    assert "highest mean validation accuracy" in few["selection"]
