"""What `ablate plan` says of what seeds can see: true sentences, whatever the study is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Shell, claim_one, small_plan

from ablate.commands.power import document, find_outlook, told
from ablate.plan import Plan
from ablate.result import Finished
from ablate.stats.planning import assumed, outlook
from ablate.store.writing.store import Store


def lines(plan: Plan, url: str | None = None, seconds: float | None = None) -> list[str]:
    return list(told(plan, find_outlook(plan, url), seconds))


def test_the_assumption_is_stated() -> None:
    first, second = lines(small_plan(seeds=5, equivalence_margin=0.05))
    assert first.startswith("2 variants × 5 seeds on 359 test images see differences ≥ ")
    assert first.endswith(" seeds (assumed: accuracy 95 %, a third of the errors by chance, φ = 5)")
    assert "with 80 % power; the margin of 5.00 points takes " in first
    assert second.startswith("--until-decided takes about ")


def test_what_was_trained_is_used(sqlite_url: str) -> None:
    plan = small_plan(equivalence_margin=0.05)
    store = Store(sqlite_url)
    store.register(plan)
    for seed in (1, 2):
        keys = [str(cell.run_key) for cell in plan.cells if cell.seed == seed]
        while claim := claim_one(store, keys):
            right = np.random.default_rng([seed, int(claim.run_key, 16)]).random(359) < 0.9
            bits = np.packbits(right).tobytes()
            store.finish(claim, Finished(0.5, right.mean(), 1, bits, 1, 1, "none", "fp32"), {})
    store.close()
    first, second = lines(plan, sqlite_url, seconds=60.0)
    assert first.endswith(" (as measured in 6 runs of this data set and backbone)")
    assert ", about " in second
    other = small_plan(backbone="cbam_cnn(width=0.5)", equivalence_margin=0.05)
    assert "assumed" in lines(other, sqlite_url)[0], "another backbone is another spread"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": 1}, "one seed of each compares trained networks and brings no verdict; "),
        ({"grid": [{"attention": "none"}]}, "there is no variant besides the baseline"),
        ({"equivalence_margin": 0.0001}, "no number of seeds sees the margin of 0.01 points"),
        (
            {"metric": "auroc", "seeds": 7},
            "AUROC is judged by its scores by seed, which bring a verdict from 8",
        ),
        (
            {"metric": "auroc", "seeds": 8, "baseline_seeds": 7},
            "from 8 seeds of each on, not with 7",
        ),
        ({"metric": "auroc", "seeds": 8}, "what these seeds can see of AUROC is not known before"),
        (
            {"metric": "macro_f1", "seeds": 3},
            "what these seeds can see of macro F1 is not known before",
        ),
        ({"recipe": {"split": "tutorial"}}, 'split = "tutorial": the schedule sees the test set'),
    ],
)
def test_where_no_verdict_can_come_it_is_said(changes: dict[str, Any], said: str) -> None:
    assert said in lines(small_plan(**changes))[0]


@pytest.mark.parametrize(
    ("images", "said"), [(1, "1 test image cannot bring"), (None, "not known")]
)
def test_images_that_tell_nothing(
    images: int | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = small_plan()
    monkeypatch.setattr(type(plan.dataset), "test_count", lambda _self: images)
    assert said in lines(plan)[0]


def test_two_images_see_nothing_that_accuracy_can_be() -> None:
    found = outlook(assumed(2), 2, 2, 0.005)
    assert "cannot see any difference that accuracy can have: no verdict" in next(
        told(small_plan(), found, None)
    )


def test_a_program_gets_fractions() -> None:
    found = find_outlook(small_plan(seeds=5, equivalence_margin=0.05), None)
    asked = document(found, 2.0)
    assert asked is not None
    assert asked["margin"] == 0.05
    assert 0 < asked["smallest_detectable"] < 0.1
    assert asked["until_runs"] == 3 * asked["until_seeds"]
    assert asked["until_seconds"] == 2.0 * asked["until_runs"]
    assert asked["spread"]["images"] == 359
    assert document(None, 2.0) is None


def test_the_plan_shows_it(shell: Shell) -> None:
    study = Path(__file__).parents[2] / "studies" / "digits-grid.toml"
    _, out, _ = shell("plan", str(study), "--no-probe")
    assert "× 3 seeds on 359 test images see differences ≥ " in out
    _, out, _ = shell("plan", str(study), "--no-probe", "--format", "json")
    assert json.loads(out)["verdicts"]["spread_from"].startswith("assumed: accuracy 95 %")
