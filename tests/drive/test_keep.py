"""Of which seeds trained weights stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from conftest import rows_of, small_plan

from ablate.drive.driver import Driver
from ablate.drive.options import Keep, TrainingOptions
from ablate.execute import make_executor
from ablate.plan import Plan
from ablate.store.writing.store import Store

STUDY: dict[str, Any] = {
    "backbone": "cbam_cnn(width=0.25)",
    "seeds": 3,
    "grid": [{"attention": "none"}],
    "recipe": {"epochs": 1, "batch_size": 128, "augment": [], "precision": "fp32"},
}


def train(url: str, keep: Keep, plan: Plan, max_runs: int | None = None) -> None:
    store = Store(url)
    store.register(plan)
    drive(store, keep, plan, max_runs)
    store.close()


def drive(store: Store, keep: Keep, plan: Plan, max_runs: int | None = None) -> None:
    how = TrainingOptions(device="cpu", keep=keep, max_runs=max_runs)
    with make_executor("inprocess", 1) as executor:
        Driver(plan, store, executor, Mock(), how).run()


def kept(url: str, tmp_path: Path) -> list[int]:
    """The seeds with weights, once it is seen that files and rows agree."""
    query = "SELECT seed, weights_file FROM runs WHERE weights_file IS NOT NULL ORDER BY seed"
    rows = rows_of(url, query)
    assert {file for _, file in rows} == {path.name for path in (tmp_path / "weights").glob("*")}
    return [seed for seed, _ in rows]


@pytest.mark.slow
@pytest.mark.parametrize(("keep", "seeds"), [("1", [1]), ("all", [1, 2, 3]), ("none", [])])
def test_weights_stay_of_the_seeds_that_are_asked_for(
    keep: Keep, seeds: list[int], sqlite_url: str, tmp_path: Path
) -> None:
    train(sqlite_url, keep, small_plan(**STUDY))
    assert kept(sqlite_url, tmp_path) == seeds
    pictures = rows_of(sqlite_url, "SELECT seed FROM explanations NATURAL JOIN runs")
    assert pictures == [(1,)], "of seed 1 in any case: the report shows it"


@pytest.mark.slow
def test_the_best_stays_also_when_a_study_is_gone_on_with(sqlite_url: str, tmp_path: Path) -> None:
    plan = small_plan(**STUDY)
    train(sqlite_url, "best", plan, max_runs=2)
    assert len(kept(sqlite_url, tmp_path)) == 1
    train(sqlite_url, "best", plan)
    found = rows_of(sqlite_url, "SELECT val_accuracy, seed FROM runs")
    best = max(accuracy for accuracy, _ in found)
    assert kept(sqlite_url, tmp_path) == [min(seed for value, seed in found if value == best)]


@pytest.mark.slow
def test_the_best_of_each_context_stays_whoever_trains_which_seed(
    sqlite_url: str, tmp_path: Path
) -> None:
    """Contexts are trained seed by seed, each by a driver that knows of no other seed."""
    settings = [{}, {"label_smoothing": 0.1}]
    plans = [small_plan(**{**STUDY, "recipe": {**STUDY["recipe"], **more}}) for more in settings]
    store = Store(sqlite_url)
    for plan in plans:
        store.register(plan)
    for seed in range(3):
        for plan in plans:
            drive(store, "best", replace(plan, cells=plan.cells[seed : seed + 1]))
    store.close()
    query = "SELECT setting, val_accuracy, seed, weights_file FROM runs NATURAL JOIN cells"
    found = rows_of(sqlite_url, query)
    assert len(found) == 6
    for plan in plans:
        mine = sorted((-accuracy, seed, file) for key, accuracy, seed, file in found
                      if key == plan.study.setting)  # fmt: skip
        assert [file is not None for *_, file in mine] == [True, False, False]
    assert len(kept(sqlite_url, tmp_path)) == 2


@pytest.mark.slow
def test_weights_that_another_study_names_stay(sqlite_url: str, tmp_path: Path) -> None:
    plan = small_plan(**{**STUDY, "seeds": 1})
    train(sqlite_url, "1", plan)
    other = small_plan(**{**STUDY, "name": "other"})
    train(sqlite_url, "best", replace(other))
    assert 1 in kept(sqlite_url, tmp_path)
