"""Points of a space that no network can be built from: told, left out, and no end of the search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import message, study_document
from support.search_processes import Instant, make_searcher, run_search, search_plan

from ablate.errors import PlacementError, StudyError
from ablate.search import cells
from ablate.search.cells import CellMaker
from ablate.search.space import Space
from ablate.study.file import parse_study
from ablate.study.search import Parameter, Search

HALF = {"attention": ["se"], "position": ["pool1", "pool3"], "reduction": {"low": 17, "high": 128}}
"""pool1 has 32 channels and pool3 128: 96 ratios of 112 cannot be built at the first."""


def maker(**parameters: Any) -> CellMaker:
    plan = search_plan(parameters=parameters)
    search = plan.study.search
    assert search is not None
    return CellMaker(plan, Space(plan.study.backbone, search.parameters))


def test_what_cannot_be_built_is_counted_with_the_first_reason() -> None:
    assert maker(**HALF).check_points() == (
        "96 of 224 points of the space cannot be built and are left out; the first: se(pool1, r=33) at "
        "'pool1': reduction 33 leaves no hidden unit of 32 channels (channels // reduction < 1): use at "
        "most 32"
    )
    assert maker(attention="se", position="pool1", reduction=[2, 4]).check_points() is None


@pytest.mark.parametrize(
    ("parameters", "of", "reason"),
    [
        (
            {"attention": "eca", "position": "pool1", "kernel_size": {"low": 3, "high": 7}},
            "2 of 5",
            "kernel_size must be odd and at least 1, not 4",
        ),
        (
            {
                "attention": "se",
                "position": "pool1+pool3",
                "reduction": {"values": [4, 64], "per_position": True},
            },
            "2 of 4",
            "se(pool1+pool3, r=64+4) at 'pool1': reduction 64 leaves no hidden unit",
        ),
        (
            {"attention": ["se", "eca"], "position": "pool1", "reduction": [4, "half"]},
            "1 of 3",
            "reduction",
        ),
    ],
)
def test_whatever_cannot_be_built_is_left_out(
    parameters: dict[str, Any], of: str, reason: str
) -> None:
    made = maker(**parameters)
    said = made.check_points()
    assert said is not None
    assert said.startswith(f"{of} points")
    assert reason in said
    built, points = map(int, of.split(" of "))
    assert [made.network_of(p) for p in made.space.points()].count(None) == built
    assert len(made.all()) <= points - built


def test_a_space_of_which_nothing_can_be_built_is_refused() -> None:
    made = maker(attention="se", position=["pool1", "pool2"], reduction=[300, 400])
    said = message(StudyError, made.check_points)
    assert said.startswith(
        "search: none of the 4 points of this space can be built; the first: se(pool1, r=300)"
    )
    assert message(StudyError, made.one_of_each).startswith(
        "search: nothing of this space could be built; the first: se(pool1, r=300)"
    )


def test_a_position_that_the_network_lacks_is_refused_however_large_the_space(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cells, "LARGEST_COUNTED", 1)
    made = maker(attention="se", position=["pool1", "pol3"], reduction=[4, 8])
    assert "position 'pol3' matches no module" in message(PlacementError, made.check_points)


def test_each_kind_is_tuned_by_something_that_can_be_built() -> None:
    first_fails = {"position": "pool1", "reduction": [64, 4], "kernel_size": [4, 3]}
    made = maker(attention=["se", "cbam"], **first_fails)
    names = [cell.variant.name for cell in made.one_of_each()]
    assert names == ["se(pool1, r=4)", "cbam(pool1, r=4, k=3)"]


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "grid"])
@pytest.mark.slow
def test_a_search_of_which_half_cannot_be_built_ends_and_goes_on(
    sampler: str, tmp_path: Path
) -> None:
    plan = search_plan(parameters=HALF, sampler=sampler, trials=6, seeds=1)
    run_search(plan, tmp_path, Instant(2))
    before = make_searcher(plan, tmp_path).trials
    assert [row.state for row in before] == ["complete"] * 6
    more = search_plan(parameters=HALF, sampler=sampler, trials=40, seeds=1)
    said: list[str] = []
    run_search(more, tmp_path, Instant(2), said)
    after = make_searcher(more, tmp_path).trials
    assert after[:6] == before
    assert {row.state for row in after} == {"complete"}
    # 32 // r for r of 17 to 32 is one network; 128 // r for r of 17 to 128 is 1 to 7.
    assert len(after) == 8
    assert said[-1] == "all 8 networks of this space were tried: the search ends"


@pytest.mark.slow
def test_what_a_sampler_was_refused_it_is_not_asked_as_a_trial(tmp_path: Path) -> None:
    large = {**HALF, "reduction": {"low": 1, "high": 65_536}}
    plan = search_plan(parameters=large, sampler="random", trials=2, seeds=1)
    searcher = make_searcher(plan, tmp_path)
    said: list[str] = []
    run_search(plan, tmp_path, Instant(1), said)
    rows = make_searcher(plan, tmp_path).trials
    assert all(searcher.parts.cell_of.network_of(dict(row.point)) for row in rows)
    assert len(rows) == 2
    assert not any("cannot" in line for line in said), said


# ── ranges ────────────────────────────────────────────────────────────────────────────────────────


def test_a_range_is_counted_and_never_written_out() -> None:
    parameter = Parameter.model_validate({"low": 2, "high": 65_536, "step": 3})
    assert isinstance(parameter.choices, range)
    each = Parameter.model_validate({"low": 1, "high": 65_536, "per_position": True})
    many = {name: Parameter.model_validate(v) for name, v in {"attention": "se", "position":
            "pool1+pool2+pool3"}.items()}  # fmt: skip
    assert Space("cbam_cnn", {**many, "reduction": each}).size == 65_536**3


def test_a_range_beyond_any_network_is_refused_in_a_line() -> None:
    table = {"parameters": {"attention": "se", "position": "pool1"}, "trials": 3}
    table["parameters"]["reduction"] = {"low": 1, "high": 3_000_000_000}  # type: ignore[index]
    with pytest.raises(StudyError) as caught:
        parse_study(study_document(search=table), "x")
    assert str(caught.value) == (
        "x: search: high = 3,000,000,000 is more than any network has channels: write at most 65,536, or a "
        "list of the values that you mean"
    )
    assert Search.model_validate(
        {"parameters": {"reduction": {"low": 1, "high": 65_536}}, "trials": 1}
    )
