"""Plans: seed by seed, aliases collapsed, keys that do not depend on names."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import small_plan

from ablate.errors import StudyError
from ablate.measure.bench import Conditions, Network, make_bench
from ablate.plan import make_plan
from ablate.study.file import load_study


def test_cells_go_seed_by_seed_and_the_baseline_may_have_more() -> None:
    plan = small_plan(seeds=2, baseline_seeds=4)
    cells = [(cell.seed, cell.variant.name) for cell in plan.cells]
    names = ["none", "se(pool1, r=8)", "se(pool3, r=8)"]
    assert cells == [(s, n) for s in (1, 2) for n in names] + [(3, "none"), (4, "none")]


def test_variants_that_build_one_network_are_one_cell_and_the_plan_says_which() -> None:
    grid = [
        {"attention": "none"},
        {"attention": "se", "position": ["pool*", "pool1+pool2+pool3"], "reduction": 8},
    ]
    plan = small_plan(grid=grid)
    assert plan.aliases == {"se(pool1+pool2+pool3, r=8)": "se(pool*, r=8)"}
    assert list(plan.variants) == ["none", "se(pool*, r=8)"]
    assert len(plan.cells) == 4
    assert plan.definition["variants"] == ["none", "se(pool*, r=8)", "se(pool1+pool2+pool3, r=8)"]


def test_an_alias_of_the_baseline_stands_for_nothing_but_the_baseline() -> None:
    baseline = "se(pool1+pool2+pool3, r=8)"
    grid = [{"attention": "se", "position": ["pool*", "pool1+pool2+pool3"], "reduction": 8}]
    plan = small_plan(grid=grid, baseline=baseline)
    assert plan.aliases == {"se(pool*, r=8)": baseline}


def test_the_same_cell_in_two_studies_has_one_key() -> None:
    one, two = small_plan(name="one"), small_plan(name="two", question="other words?", seeds=1)
    assert {cell.run_key for cell in two.cells} < {cell.run_key for cell in one.cells}
    other = small_plan(recipe={"epochs": 3})
    assert not {cell.run_key for cell in other.cells} & {cell.run_key for cell in one.cells}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline": "nonne"}, r"baseline 'nonne' is no variant.*\(did you mean 'none'\?\)"),
        ({"dataset": "digit"}, r"unknown dataset 'digit' \(did you mean 'digits'\?\)"),
        ({"backbone": "cbamcnn"}, r"unknown backbone 'cbamcnn' \(did you mean 'cbam_cnn'\?\)"),
        ({"image_size": 64, "backbone": "cbam_cnn(width=32)"}, "must be at most 1024, not 32 × 64"),
        ({"controls": ["placebo*"]}, r"control 'placebo\*' is no variant of the grid"),
        (
            {"controls": ["none"]},
            "control 'none' names the baseline",
        ),
    ],
)
def test_names_that_stand_nowhere(changes: dict[str, object], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        small_plan(**changes)


@pytest.mark.slow
def test_the_resnet18_study_plans_and_one_of_its_variants_trains() -> None:
    file = Path(__file__).parents[1] / "studies" / "resnet18.toml"
    changes = ["dataset=digits", "seeds=1", "recipe.batch_size=4"]
    plan = make_plan(load_study(file, changes))
    assert len(plan.variants) == 12
    cell = plan.cells[-2]
    assert cell.variant.name == "cbam(layer*.*.bn2, r=16, k=7)"
    bench = make_bench(Conditions(plan.study.recipe, plan.dataset, "cpu"))
    trainer = bench.trainer(Network(cell.variant, cell.architecture.fingerprint))
    losses = [float(trainer.step(bench.batch)[0]) for _ in range(3)]
    assert losses[-1] < losses[0], "real digits, the study's own recipe"
