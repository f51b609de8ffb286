"""What is known of a search's trials elsewhere: in a notebook, in the report, and where they are measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import claim_one
from support.search_processes import Instant, make_searcher, run_search, search_plan

import ablate
from ablate.page.document import Table
from ablate.plan import Plan
from ablate.report.search.tables import best_table, importance_table
from ablate.result import Cost, Finished
from ablate.result.search import Called, SearchResult
from ablate.search.networks import with_searched
from ablate.search.record import _value, read_search
from ablate.store.writing.store import Store
from ablate.store.writing.trials import TrialStore
from ablate.study import Option

SPACE = {"attention": ["se"], "position": ["pool1", "pool3"], "reduction": [4, 8]}


def searched(folder: Path) -> tuple[Plan, str]:
    plan = search_plan(trials=4, seeds=2, sampler="grid", parameters=SPACE)
    run_search(plan, folder, Instant())
    return plan, f"sqlite:///{folder / 'r.db'}"


def add_fresh(plan: Plan, folder: Path, url: str, value: float) -> None:
    """A fresh seed of the second trial's network, finished."""
    searcher, store = make_searcher(plan, folder), Store(url)
    cell = searcher.parts.cell_of.named(searcher.trials[1].fingerprint, 1001)
    searcher.parts.store.add_cells(plan, [cell])
    claim = claim_one(store, [str(cell.run_key)])
    assert claim is not None
    store.finish(claim, Finished(value, 0.5, 1.0, b"\xf0", 1.0, 100.0, "m", "fp32"), {})


@pytest.mark.slow
def test_trials_are_a_frame_and_kinds_of_seeds_are_never_pooled(tmp_path: Path) -> None:
    plan, url = searched(tmp_path)
    add_fresh(plan, tmp_path, url, 0.25)
    runs, trials = ablate.open_results(url).runs, ablate.open_results(url).trials
    assert list(trials["number"]) == [0, 1, 2, 3]
    assert list(trials["variant"]) == [
        f"se({place}, r={r})" for place in ("pool1", "pool3") for r in (4, 8)
    ]
    assert list(trials["param_reduction"]) == [4, 8, 4, 8]
    assert set(trials["state"]) == {"complete"}
    for _, trial in trials.iterrows():
        mine = runs[(runs["variant"] == trial["variant"]) & (runs["seed"] < 1000)]
        assert trial["selection_mean"] == pytest.approx(mine["val_accuracy"].mean())
        by_seed = [trial["selection_1"], trial["selection_2"]]
        assert by_seed == list(mine.sort_values("seed")["val_accuracy"])
        assert trial["parameters"] == mine["parameters"].iloc[0]
    assert trials["fresh_1001"].dropna().to_dict() == {1: 0.25}
    assert trials["fresh_mean"].dropna().to_dict() == {1: 0.25}
    assert trials["measured_on"].isna().all()


@pytest.mark.slow
def test_costs_of_trials_are_of_one_condition(tmp_path: Path) -> None:
    plan, url = searched(tmp_path)
    store = Store(url)
    networks = [row.fingerprint for row in make_searcher(plan, tmp_path).trials]
    quick = [cost(f, 100.0, "quick") for f in networks]
    store.costs.add_costs(
        [*quick, *(cost(f, 90.0 + i, "full") for i, f in enumerate(networks))], {}
    )
    trials = ablate.open_results(url).trials
    assert list(trials["infer_images_per_second"]) == [90, 91, 92, 93]
    assert set(trials["measured_on"]) == {"m, fp32, batch 64, full"}
    assert trials["train_images_per_second"].isna().all()


def cost(fingerprint: str, speed: float, protocol: str) -> Cost:
    return Cost(fingerprint, "m", "fp32", "infer", 64, speed, speed, speed, 1.0, None, 9, protocol)  # type: ignore[arg-type]


def test_a_database_without_a_search_has_no_trials(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'r.db'}"
    Store(url).close()
    trials = ablate.open_results(url).trials
    assert trials.empty
    assert {"number", "variant", "selection_mean", "fresh_mean"} <= set(trials.columns)


@pytest.mark.slow
def test_every_network_of_a_search_is_measured(tmp_path: Path) -> None:
    plan, url = searched(tmp_path)
    measured = with_searched(plan, url)
    assert list(measured.variants) == ["none", *ablate.open_results(url).trials["variant"]]
    networks = {cell.architecture.fingerprint for cell in measured.cells}
    assert networks == {a.fingerprint for a in measured.variants.values()}
    assert len(networks) == 5
    again = with_searched(measured, url)
    assert again == measured


@pytest.mark.slow
def test_a_report_calls_a_network_what_the_study_calls_it(tmp_path: Path) -> None:
    """Name, slices and importances are of one value, whatever the trial asked for."""
    plan, url = searched(tmp_path)
    searcher = make_searcher(plan, tmp_path)
    first = searcher.trials[0].fingerprint
    names = {first: Called("se(pool1, r=5)", "se", "pool1", {"reduction": 5})}
    found = told(plan, url, searcher, names)
    (trial,) = (t for t in found.trials if t.fingerprint == first)
    assert trial.variant == "se(pool1, r=5)"
    assert trial.point == {"attention": "se", "position": "pool1", "reduction": 5}
    parts = {first: Called("x", "se", "pool1+pool3", {"reduction": "4+8"})}
    row = next(t for t in told(plan, url, searcher, parts).trials if t.fingerprint == first)
    assert row.point["position"] == "pool1+pool3"


def test_a_value_by_part_is_that_of_the_parts_that_have_the_option() -> None:
    called = Called("x", "se+eca+cbam", "pool1+pool2+pool3", {"reduction": "4+8"})
    point: dict[str, Option] = {"reduction@pool1": 2, "reduction@pool3": 2}
    assert [_value(name, 2, called, point) for name in point] == [4, 8]


def told(plan: Plan, url: str, searcher: object, names: Mapping[str, Called]) -> SearchResult:
    search = plan.study.search
    assert search is not None
    key = searcher.parts.key  # type: ignore[attr-defined]
    found = read_search(TrialStore(url), key, search, names)
    assert found is not None
    return found


@pytest.mark.slow
def test_importances_that_contradict_each_other_say_so(tmp_path: Path) -> None:
    plan, url = searched(tmp_path)
    found = told(plan, url, make_searcher(plan, tmp_path), {})

    def caption(fanova: Mapping[str, float], ped: Mapping[str, float]) -> str:
        shares = {"fANOVA": fanova, "PED-ANOVA": ped}
        table = importance_table(replace(found, importances=shares))
        assert isinstance(table, Table)
        return table.caption

    agreed = caption({"position": 0.9, "reduction": 0.1}, {"position": 0.6, "reduction": 0.4})
    assert "disagree" not in agreed
    apart = caption({"position": 0.9, "reduction": 0.1}, {"position": 0.2, "reduction": 0.8})
    assert "disagree on what matters most (position by fANOVA, reduction by PED-ANOVA)" in apart
    unlike = caption({"position": 1.0}, {"position": 0.2, "kernel_size": 0.8})
    assert "disagree" not in unlike, "kernel_size is unknown to fANOVA"


@pytest.mark.slow
def test_the_best_of_a_search_stand_beside_what_they_cost(tmp_path: Path) -> None:
    plan, url = searched(tmp_path)
    found = told(plan, url, make_searcher(plan, tmp_path), {})
    best = found.trials[0].variant
    table = best_table(found, {best: {"Parameters": "1,149", "Infer images/s": "52.4"}})
    assert table is not None
    assert [c.title for c in table.columns][-2:] == ["Parameters", "Infer images/s"]
    cells = {row.cells[0].text: [cell.text for cell in row.cells[-2:]] for row in table.rows}
    assert cells[best] == ["1,149", "52.4"]
    assert "Nothing here is confirmed" in table.caption
