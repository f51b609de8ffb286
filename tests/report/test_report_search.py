"""A study with a search: its report judges by fresh seeds alone, and says of which kind the seeds are."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from support.report_frames import make_frames, page, value, written

from ablate.commands.compare import told
from ablate.commands.looked import look_at
from ablate.report.summary import summarize
from ablate.stats.looks import FIXED, Look
from ablate.store.reading.frames import Frames

MEANS = {"none": 0.83, "se(pool1)": 0.86, "eca(pool1)": 0.84}
PICK, TRIED = "se(pool1)", "eca(pool1)"


def searched(fresh: int = 4, **study: object) -> Frames:
    """The baseline's grid of 3 seeds; a search has tried two variants and confirmed the better one."""
    frames = make_frames(MEANS, seeds=3 + fresh, **study)
    runs = frames.runs.assign(finished_at="2026-01-02T00:00:00")
    runs["seed"] = np.where(runs["seed"] > 3, runs["seed"] + 997, runs["seed"])
    kept = runs[(runs["variant"] != TRIED) | (runs["seed"] < 1000)]
    definition = {**frames.study, "variants": ["none"], "seeds": 3}
    return replace(frames, runs=kept.reset_index(drop=True), study=definition)


@pytest.mark.slow
def test_every_part_of_the_report_judges_a_pick_by_fresh_seeds_alone() -> None:
    files = written(searched())
    effects = {each["variant"]: each for each in json.loads(files["report.json"])["effects"]}
    assert (effects[PICK]["n"], effects[PICK]["n_baseline"], effects[PICK]["rule"]) == (
        4,
        4,
        "blocks",
    )
    assert effects[TRIED]["rule"] == "searched"
    assert effects[TRIED]["low"] is effects[TRIED]["smallest_detectable"] is None
    shown = page(searched())
    assert "fresh seeds, 3 of grid or search besides" in value(shown.row(PICK), "n")
    assert "seeds of the search" in value(shown.row(TRIED), "n")
    assert value(shown.row(TRIED), "Verdict").startswith("not judged")
    assert "4 fresh ones besides" in value(shown.row("none"), "n")
    assert "1 tried by the search alone and not judged" in shown.sections["findings"]
    assert "17 finished" in shown.sections["completeness"]


def test_the_luck_of_the_seeds_that_it_was_picked_by_changes_nothing() -> None:
    frames = searched()
    lucky = frames.runs["test_accuracy"].where(
        (frames.runs["variant"] != PICK) | (frames.runs["seed"] > 1000), 0.99
    )
    without = replace(frames, images=type(frames.images)())
    changed = replace(without, runs=without.runs.assign(test_accuracy=lucky))
    before, after = (
        next(v for v in summarize(f).tested if v.name == PICK) for f in (without, changed)
    )
    assert before.effect == after.effect


def test_compare_takes_seeds_of_one_kind() -> None:
    summary = summarize(searched())
    assert "n = 4 against 4" in " ".join(told(summary, PICK, "none"))
    assert "not judged" in " ".join(told(summary, "none", TRIED))


def test_seeds_added_to_a_confirmation_after_a_look_make_it_exploratory() -> None:
    frames = searched()
    look = look_at(frames, "report")
    assert look is not None
    assert (look.n[PICK], look.planned[PICK], look.n["none"], look.family) == (4, 4, 3, 1)
    seen = replace(look, looked_at="2026-01-03T00:00:00")
    assert summarize(replace(frames, looks=[seen])).exploratory is None
    more = searched(fresh=6)
    late = more.runs["finished_at"].where(more.runs["seed"] <= 1004, "2026-01-04T00:00:00")
    added = replace(more, runs=more.runs.assign(finished_at=late), looks=[seen])
    assert "when 4 of none (fresh seeds) were planned" in str(summarize(added).exploratory)


def test_fresh_seeds_of_a_variant_of_the_grid_are_counted_beside_its_own() -> None:
    def of_grid(frames: Frames) -> Frames:
        return replace(frames, study={**frames.study, "variants": ["none", PICK]})

    look = look_at(of_grid(searched()), "report")
    assert look is not None
    fresh = {f"{name} (fresh seeds)": 4 for name in ("none", PICK)}
    assert look.n == {"none": 3, PICK: 3, **fresh}
    assert look.planned == {"none": 3, PICK: 3, **fresh}
    assert look.family == 1
    seen = replace(look, looked_at="2026-01-03T00:00:00")
    assert summarize(replace(of_grid(searched()), looks=[seen])).exploratory is None
    more = of_grid(searched(fresh=6))
    late = more.runs["finished_at"].where(more.runs["seed"] <= 1004, "2026-01-04T00:00:00")
    for name in ("none", PICK):
        only = late.where(more.runs["variant"] == name, "2026-01-02T00:00:00")
        added = replace(more, runs=more.runs.assign(finished_at=only), looks=[seen])
        said = str(summarize(added).exploratory)
        assert f"when 4 of {name} (fresh seeds) were planned; seed 1005 came later" in said


def test_a_look_at_what_only_a_search_has_trained_is_none() -> None:
    frames = searched()
    before = replace(frames, runs=frames.runs[frames.runs["seed"] < 1000])
    assert look_at(before, "report") is None
    assert isinstance(look_at(frames, "report"), Look)
    assert pd.isna(before.runs["finished_at"]).sum() == 0
    assert getattr(look_at(frames, "report"), "rule", None) == FIXED
