"""A search is told by the speeds that it was judged by, whatever another study measures afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.search_processes import Instant, make_searcher, run_search, search_plan

from ablate.plan import Plan
from ablate.result import Cost
from ablate.result.search import SearchResult
from ablate.search.record import read_search
from ablate.search.speeds import place_of
from ablate.store.writing.store import Store
from ablate.store.writing.trials import MEASURED, Place, TrialRow, TrialStore, search_key

HERE = Place("a machine", "fp32", 64)
"""That of the runs of `Instant`."""
AMP = replace(HERE, precision="bf16")
SPACE = {"attention": "se", "position": "pool1", "reduction": [2, 4, 8]}


class Known:
    """What a database says of where networks were measured, and runs trained."""

    def __init__(self, measured: dict[Place, set[str]], trained: Place | None) -> None:
        self.measured, self.trained = measured, trained

    def measured_at(self, _networks: object) -> dict[Place, set[str]]:
        return self.measured

    def trained_at(self, _run_keys: object) -> Place | None:
        return self.trained


ROWS = [TrialRow(n, {}, {}, name, name, "complete") for n, name in enumerate("ab")]


@pytest.mark.parametrize(
    ("measured", "trained", "found"),
    [
        ({HERE: {"a", "b"}, AMP: {"a"}}, None, HERE),
        ({HERE: {"a", "b"}, AMP: {"a", "b"}}, HERE, HERE),
        ({HERE: {"a", "b"}, AMP: {"a", "b"}}, None, AMP),
        ({HERE: {"a", "b"}, AMP: {"a"}}, AMP, HERE),
        ({}, HERE, None),
    ],
)
def test_trials_that_keep_no_speed_are_told_by_where_all_were_measured_and_trained(
    measured: dict[Place, set[str]], trained: Place | None, found: Place | None
) -> None:
    store: Any = Known(measured, trained)
    assert place_of(store, ROWS) == found
    kept = [ROWS[0], ROWS[1].measured(AMP, 9.0)]
    assert place_of(store, kept) == AMP
    assert kept[1].speed == 9.0


def cost(fingerprint: str, speed: float, place: Place = HERE) -> Cost:
    at = (place.device, place.precision, "infer", place.batch_size)
    return Cost(fingerprint, *at, speed, 1.0, 1.0, None, None, 3, "quick")  # type: ignore[arg-type]


def measure(url: str, *costs: Cost) -> None:
    store = Store(url)
    store.costs.add_costs(costs, {})
    store.close()


def told(plan: Plan, url: str) -> SearchResult:
    key = search_key(plan.study, plan.dataset.label, str(plan.dataset.content_hash()))
    assert plan.study.search is not None
    store = TrialStore(url)
    found = read_search(store, key, plan.study.search)
    store.close()
    assert found is not None
    return found


@pytest.mark.slow
def test_what_another_study_measures_changes_nothing(tmp_path: Path) -> None:
    objectives = ["val_accuracy", "images_per_second"]
    plan = search_plan(parameters=SPACE, objectives=objectives, trials=3, seeds=1, sampler="grid")
    url = f"sqlite:///{tmp_path / 'r.db'}"
    assert plan.study.recipe.batch_size == HERE.batch_size
    searcher = make_searcher(plan, tmp_path)
    cells = searcher.parts.cell_of.all()
    baseline = plan.variants[plan.study.baseline]
    searcher.parts.store.add_architectures([*(c.architecture for c in cells), baseline])
    marks = [cell.architecture.fingerprint for cell in cells]
    measure(url, cost(baseline.fingerprint, 1.0), *(cost(f, 10.0 + i) for i, f in enumerate(marks)))
    run_search(plan, tmp_path, Instant(), place=HERE)
    before = told(plan, url)
    assert [t.values[1] for t in before.trials if t.values] == [10.0, 11.0, 12.0]

    # The same precision beside another baseline, and another precision: of some networks, then of all.
    measure(url, cost(marks[0], 99.0))
    assert told(plan, url) == before
    measure(url, *(cost(f, 90.0 - i, AMP) for i, f in enumerate(marks[:2])))
    assert told(plan, url) == before
    measure(url, *(cost(f, 90.0 - i, AMP) for i, f in enumerate(marks)))
    assert told(plan, url) == before
    again = make_searcher(plan, tmp_path, place=HERE)
    assert [values[1] for _, values in again.finished.values()] == [10.0, 11.0, 12.0]

    # Rows of a version that kept no speed.
    store, key = again.parts.store, again.parts.key
    for row in again.trials:
        rest = {k: v for k, v in row.sampler_state.items() if k != MEASURED}
        store.update(key, replace(row, sampler_state=rest))
    assert [t.values[1] for t in told(plan, url).trials if t.values] == [99.0, 11.0, 12.0]

    # Where the search goes on at another place all its trials are judged by the speeds there.
    measure(url, cost(baseline.fingerprint, 1.0, AMP))
    moved = make_searcher(plan, tmp_path, place=AMP)
    assert {row.place for row in moved.trials} == {AMP}
    assert [values[1] for _, values in moved.finished.values()] == [90.0, 89.0, 88.0]
