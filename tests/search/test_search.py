"""The search: one truth, noise, restarts, and what is refused."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sqlite3
import statistics
import time
import urllib.request
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from conftest import message, study_document
from sqlalchemy import event
from support.search_processes import (
    MANY,
    PARAMETERS,
    Databases,
    Instant,
    accuracy,
    make_searcher,
    real_plan,
    run_search,
    search_plan,
)

from ablate.drive.run import RunOptions
from ablate.drive.search import SearchOptions, search_study
from ablate.errors import AblateError, DatabaseError, OptionError, StudyError, UnknownNameError
from ablate.execute import EXECUTORS
from ablate.measure.architecture import describe
from ablate.measure.throughput import Protocol
from ablate.plan import make_plan
from ablate.search.cells import CellMaker, check_constraints
from ablate.search.confirm import candidates, confirmed
from ablate.search.dashboard import serve
from ablate.search.mirror import OptunaMirror
from ablate.search.racing import clearly_worse
from ablate.search.sampling import make_sampler
from ablate.search.space import Space
from ablate.search.storage import close_storage, open_storage, storage_url
from ablate.store.writing.store import Store
from ablate.store.writing.trials import TrialStore
from ablate.study import Variant
from ablate.study.file import load_study, parse_study
from ablate.study.search import PRUNERS, SAMPLERS, Parameter, Search

STUDIES = Path(__file__).parents[2] / "studies"
ONLY_SE = {**{k: v for k, v in PARAMETERS.items() if k != "kernel_size"}, "attention": "se"}

EVERY_SAMPLER = [pytest.param(n, marks=pytest.mark.slow) if n == "gp" else n for n in SAMPLERS]
"""Gaussian processes take seconds to ask anything."""


def query(folder: Path, sql: str, file: str = "r.db") -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(folder / file)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def space(**parameters: Any) -> Space:
    return Space("cbam_cnn", {key: Parameter.model_validate(v) for key, v in parameters.items()})


# ── the table ─────────────────────────────────────────────────────────────────────────────────────

KNOWN = (
    "val_accuracy, val_balanced_accuracy, val_macro_f1, val_top5_accuracy, val_auroc, val_log_loss, "
    "val_calibration_error, parameters, macs, images_per_second"
)
REFUSED = {
    'objectives=["latency"]': f"search: 'latency' is not measured; there are: {KNOWN}",
    'objectives=["test_accuracy"]': "search: test_accuracy is never an objective: a search that sees the "
    f"test set leaks it; there are: {KNOWN}",
    'objectives=["parameters"]': "search: objectives are different ones, and val_accuracy or another metric "
    "of validation images is among them",
    'objectives=["val_accuracy", "val_log_loss"]': "search: val_accuracy and val_log_loss both say how good "
    "a network is: racing and fresh seeds go by one; leave the others out",
    'sampler="tpr"': "search: unknown sampler 'tpr' (did you mean 'tpe'?); there are: tpe, random, gp, "
    "nsga2, grid",
    'sampler="cma-es"': "search: the sampler 'cmaes' is refused: Optuna keeps its state pickled in the "
    "storage, and would run whatever stands there; there are: tpe, random, gp, nsga2, grid",
    'pruner="median"': "search: the pruner 'median' compares one objective, and there are 2; racing works "
    "with several",
    "constraints.parameters={at_least=2, at_most=1}": "search: contradictory constraint: at_least 2 is "
    "above at_most 1",
    "constraints.parameters={}": "search: a constraint needs at_most or at_least",
    "constraints.val_accuracy={at_least=0.9}": "search: val_accuracy is known only after training, so it "
    "is no constraint but an objective",
    "runs=2": "search: a budget of 2 runs is less than one trial of 3 seeds",
    "trails=10": "unknown key 'search.trails' (did you mean 'trials'?); there are: parameters, objectives, "
    "constraints, sampler, sampler_seed, pruner, racing, trials, runs, hours, seeds, confirm, "
    "confirm_seeds",
    "parameters.reduction={low=2, hihg=8}": "unknown key 'search.parameters.reduction.hihg' (did you mean "
    "'high'?); there are: values, per_position, low, high, step, log",
    "parameters.reduction={low=8, high=2}": "search: 1 ≤ low ≤ high is needed, not low = 8, high = 2",
}


@pytest.mark.parametrize("change", REFUSED)
def test_what_a_search_cannot_be_is_one_line(change: str) -> None:
    file = STUDIES / "reduction.toml"
    said = message(StudyError, lambda: load_study(file, [f"search.{change}"]))
    assert said == f"{file}: {REFUSED[change]}"


def test_a_search_needs_a_budget_and_validation_images() -> None:
    table = {"parameters": PARAMETERS}
    said = message(StudyError, lambda: parse_study(study_document(search=table), "x"))
    assert said == "x: search: a budget is missing: give trials, runs or hours"
    leaked = study_document(search={**table, "trials": 5}, recipe={"split": "tutorial"})
    assert "has no validation images" in message(StudyError, lambda: parse_study(leaked, "x"))


# ── the space ─────────────────────────────────────────────────────────────────────────────────────


def test_a_point_has_only_the_parameters_that_its_attention_takes() -> None:
    points = list(space(**PARAMETERS).points())
    assert len(points) == space(**PARAMETERS).size == 6 + 12
    assert points[0] == {"attention": "se", "position": "pool1", "reduction": 2}
    assert points[-1] == {
        "attention": "cbam", "position": "pool*", "reduction": 32, "kernel_size": 7
    }  # fmt: skip
    assert list(space(attention="none").points()) == [{"attention": "none"}]


def test_every_point_can_be_asked_for_and_is_the_variant_that_it_says() -> None:
    asked = space(**PARAMETERS)
    for point in asked.points():
        assert asked.ask(lambda name, _, p=point: p[name]) == point  # type: ignore[misc]
    assert asked.variant(points := next(iter(asked.points()))).name == "se(pool1, r=2)", points


def test_each_part_of_a_position_may_have_a_ratio_of_its_own() -> None:
    each = space(
        attention="se", position="pool1+pool3", reduction={"values": [4, 8], "per_position": True}
    )
    points = list(each.points())
    assert [(p["reduction@pool1"], p["reduction@pool3"]) for p in points] == [
        (4, 4), (4, 8), (8, 4), (8, 8)
    ]  # fmt: skip
    variants = [each.variant(point) for point in points]
    assert variants[1].name == "se(pool1+pool3, r=4+8)"
    built = describe(variants[1], 10, 32)
    assert built.attention_parameters == 2 * 32 * (32 // 4) + 2 * 128 * (128 // 8)
    same = describe(Variant("cbam_cnn", "se", "pool1+pool3", (("reduction", 8),)), 10, 32)
    assert describe(variants[3], 10, 32).fingerprint == same.fingerprint, "equal ratios: one cell"


def test_kinds_that_are_joined_have_the_options_of_each() -> None:
    each = space(
        attention=["se", "cbam+eca+se"],
        position="pool1+pool2+pool3",
        reduction={"values": [2, 4], "per_position": True},
        kernel_size=[3, 5],
    )
    points = [point for point in each.points() if point["attention"] != "se"]
    assert each.size == 2**3 + 2 * 2**2
    assert list(points[1]) == [
        "attention",
        "position",
        "reduction@pool1",
        "reduction@pool3",
        "kernel_size",
    ]
    names = [each.variant(point).name for point in points]
    assert names[1] == "cbam+eca+se(pool1+pool2+pool3, r=2+2, k=5)"
    assert names[2] == "cbam+eca+se(pool1+pool2+pool3, r=2+4, k=3)"
    assert len(set(names)) == len(points)


@pytest.mark.parametrize(
    ("parameters", "error", "said"),
    [
        ({"position": "pool1"}, StudyError, "parameters need 'attention'"),
        ({"attention": "se"}, StudyError, "parameters need 'position'"),
        ({"attention": "sse", "position": "pool1"}, UnknownNameError, "did you mean 'se'"),
        (
            {"attention": "se+none", "position": "pool1+pool2"},
            OptionError,
            "'none' joins with nothing",
        ),
        (
            {"attention": ["se", "se+eca"], "position": ["pool1+pool2", "pool1"]},
            OptionError,
            "attention 'se+eca' has 2 kinds, and the position 'pool1' has 1 part",
        ),
        (
            {"attention": "se", "position": "pool1", "kernel_size": 3},
            OptionError,
            "no attention of this space takes 'kernel_size'; they take: reduction",
        ),
    ],
)
def test_a_space_that_means_nothing_is_refused(
    parameters: dict[str, Any], error: type[StudyError], said: str
) -> None:
    assert said in message(error, lambda: space(**parameters))


def test_constraints_that_no_variant_keeps_are_refused(tmp_path: Path) -> None:
    plan = search_plan(constraints={"parameters": {"at_most": 0.9, "of_baseline": True}})
    maker = CellMaker(plan, space(**PARAMETERS))
    sizes = [cell.architecture for cell in maker.all()] + list(plan.variants.values())
    costs = {a.fingerprint: {"parameters": a.parameters, "macs": a.macs} for a in sizes}
    search = plan.study.search
    assert search is not None
    said = message(StudyError, lambda: check_constraints(search, maker, costs))
    assert "contradictory constraints: none of the 18 variants of the space keeps them" in said


# ── one truth ─────────────────────────────────────────────────────────────────────────────────────


SAME = {"attention": "se", "position": "pool1", "reduction": {"low": 1, "high": 32}}
"""32 ratios and 10 networks: channels // r is what is built."""


@pytest.mark.parametrize(
    ("sampler", "slots"),
    [
        # A Gaussian process takes seconds: alone, where nothing comes back out of turn, with the slow ones.
        pytest.param(name, slots, marks=[pytest.mark.slow] if (name, slots) == ("gp", 1) else [])
        for name in SAMPLERS
        for slots in (1, 3)
    ],
)
@pytest.mark.slow
def test_no_trial_is_spent_on_a_network_that_had_one(
    sampler: str, slots: int, tmp_path: Path
) -> None:
    """Parallel workers too, and where the search is interrupted: ten trials are ten networks."""
    executor = Instant(slots)
    for trials in (6, 10):
        plan = search_plan(
            trials=trials, seeds=1, sampler=sampler, parameters=SAME, objectives=["val_accuracy"]
        )
        run_search(plan, tmp_path, executor)
    assert query(tmp_path, "SELECT COUNT(*), COUNT(DISTINCT fingerprint) FROM trials") == [(10, 10)]
    assert len(executor.trained) == len(set(executor.trained)) == 10
    assert len(told(tmp_path)) == 10, "and Optuna's copy has the same"


@pytest.mark.slow
def test_a_space_that_is_tried_out_ends_the_search_early(tmp_path: Path) -> None:
    executor, said = Instant(2), list[str]()
    plan = search_plan(trials=40, seeds=2, parameters=SAME)
    networks = {a // b for a, b in ((32, r) for r in range(1, 33))}
    for _ in range(2):
        run_search(plan, tmp_path, executor, said)
        assert said[-1] == f"all {len(networks)} networks of this space were tried: the search ends"
    assert len(executor.trained) == 2 * len(networks)
    assert len({line for line in said if line.startswith("trial ")}) == len(networks)


@pytest.mark.parametrize(
    "options", [{"racing": True, "seeds": 3}, {"pruner": "median", "seeds": 1}]
)
@pytest.mark.slow
def test_a_network_that_was_stopped_is_not_tried_again(
    options: dict[str, Any], tmp_path: Path
) -> None:
    """Its runs are not all there: asked again, it would be trained on."""
    parameters = {**SAME, "attention": ["cbam", "se"], "kernel_size": 7}
    plan = search_plan(trials=100, parameters=parameters, **options)
    executor, said = Instant(worse="cbam"), list[str]()
    run_search(plan, tmp_path, executor, said)
    states = dict(query(tmp_path, "SELECT state, COUNT(*) FROM trials GROUP BY state"))
    assert states.keys() & {"raced", "pruned"}
    assert query(tmp_path, "SELECT COUNT(*), COUNT(DISTINCT fingerprint) FROM trials") == [(20, 20)]
    trained = list(executor.trained)
    run_search(plan, tmp_path, executor, said)
    assert executor.trained == trained, "nor when the search goes on"


@pytest.mark.slow
def test_a_sampler_that_asks_again_hears_what_it_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The objective is counted: once for each network, while Optuna asks more often than that."""
    asked, answered = list[int](), list[tuple[str, Any]]()
    ask, answer = OptunaMirror.ask, OptunaMirror.tell
    monkeypatch.setattr(OptunaMirror, "ask", lambda self, *a: asked.append(a[0]) or ask(self, *a))
    monkeypatch.setattr(
        OptunaMirror,
        "tell",
        lambda self, row, out: answered.append((row.variant, out.values)) or answer(self, row, out),
    )
    executor = Instant()
    plan = search_plan(trials=8, seeds=1, sampler="tpe", parameters=SAME)
    run_search(plan, tmp_path, executor)
    assert len(asked) > 8 == len(executor.trained) == len(set(asked))
    values = {variant: {v for name, v in answered if name == variant} for variant, _ in answered}
    assert len(answered) > 8 == len(values), "the draft was told"
    assert {len(each) for each in values.values()} == {1}, "always the same"


@pytest.mark.slow
def test_a_network_has_one_name_and_the_point_of_that_name(tmp_path: Path) -> None:
    """A grid that has r = 32 names what the search asks for as r = 17; with a space of its own, too."""
    table = {"parameters": SAME, "trials": 11, "seeds": 1, "sampler": "grid"}
    grid = [{"attention": "none"}, {"attention": "se", "position": "pool1", "reduction": 32}]
    document = study_document(backbone="cbam_cnn", grid=grid, recipe={"epochs": 2}, search=table)
    plan = make_plan(parse_study(document, "test"))
    run_search(plan, tmp_path, Instant())
    rows = query(tmp_path, "SELECT variant, point FROM trials")
    assert all(name == f"se(pool1, r={json.loads(point)['reduction']})" for name, point in rows)
    names = query(tmp_path, "SELECT fingerprint, COUNT(DISTINCT variant) FROM v_runs GROUP BY 1")
    assert {number for _, number in names} == {1}
    assert ("se(pool1, r=32)",) in query(tmp_path, "SELECT variant FROM trials")


@pytest.mark.slow
def test_a_grid_that_names_a_searched_network_names_all_its_runs(tmp_path: Path) -> None:
    search = search_plan(trials=11, seeds=4, sampler="grid", parameters=SAME)
    run_search(search, tmp_path, Instant())
    grid = [{"attention": "none"}, {"attention": "se", "position": "pool1", "reduction": [30, 9]}]
    later = make_plan(
        parse_study(study_document(backbone="cbam_cnn", grid=grid, recipe={"epochs": 2}), "test")
    )
    store = Store(f"sqlite:///{tmp_path / 'r.db'}")
    store.register(later)
    names = query(tmp_path, "SELECT DISTINCT fingerprint, variant, reduction FROM v_runs")
    assert len(names) == len({fingerprint for fingerprint, *_ in names}) == 11
    assert {("se(pool1, r=30)", 30), ("se(pool1, r=9)", 9)} <= {(n, r) for _, n, r in names}


@pytest.mark.slow
def test_what_the_grid_has_trained_is_not_trained_again(tmp_path: Path) -> None:
    run_search(search_plan(trials=6, sampler="grid", parameters=ONLY_SE), tmp_path, Instant())
    said, second = list[str](), Instant()
    asked = search_plan(trials=6, sampler="random", parameters=ONLY_SE)
    run_search(asked, tmp_path, second, said)
    assert second.trained == []
    assert all("from results" in line for line in said), "another search, the same runs"


@pytest.mark.slow
def test_the_search_cannot_read_the_test_set(tmp_path: Path) -> None:
    """No statement of its store names a column of the test set, and no source of its room either."""
    plan, statements = search_plan(trials=4, objectives=["val_accuracy", "macs"]), list[str]()
    searcher = make_searcher(plan, tmp_path)
    engine = searcher.parts.store._engine
    event.listen(engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    cells, _ = searcher.more(1)
    run_search(plan, tmp_path, Instant())
    searcher.rebuild()
    searcher.parts.store.fresh(str(cells[0].run_key), "x", range(1001, 1003))
    searcher.parts.store.costs([t.fingerprint for t in searcher.trials])
    reading = [s for s in statements if s.lstrip().startswith("SELECT")]
    assert len(reading) > 4
    assert [s for s in reading if "test" in s.replace("latest", "")] == []
    room = Path(STUDIES.parent, "ablate", "search")
    sources = "".join(p.read_text() for p in room.glob("*.py"))
    assert "test_accuracy" not in sources
    assert {"test_loss", "test_correct", "Finished("} & set(sources.split()) == set()


@pytest.mark.slow
def test_variants_of_a_search_stay_in_the_study_when_its_grid_is_run(tmp_path: Path) -> None:
    plan = search_plan(trials=3, sampler="random")
    run_search(plan, tmp_path, Instant())
    before = query(tmp_path, "SELECT variant, seed, status FROM v_runs ORDER BY ordinal")
    make_searcher(plan, tmp_path)  # registers the grid, as `ablate run` does
    assert query(tmp_path, "SELECT variant, seed, status FROM v_runs ORDER BY ordinal") == before
    assert {status for _, _, status in before} == {"planned", "finished"}


@pytest.mark.slow
def test_what_confirms_stays_in_the_study_when_its_grid_is_run(tmp_path: Path) -> None:
    """The baseline is in the grid, and its fresh seeds are not."""
    plan = search_plan(trials=2, sampler="random")
    run_search(plan, tmp_path, Instant())
    searcher = make_searcher(plan, tmp_path)
    network = plan.variants["none"].fingerprint
    fresh = [CellMaker(plan, searcher.parts.space).named(network, seed) for seed in (1001, 1002)]
    searcher.parts.store.add_cells(plan, fresh)
    make_searcher(plan, tmp_path)  # registers the grid, as `ablate run` does
    seeds = "SELECT seed FROM v_runs WHERE variant = 'none' AND seed > 1000 ORDER BY seed"
    assert query(tmp_path, seeds) == [(1001,), (1002,)]


def test_a_refused_search_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.md").write_text("no database")
    study = load_study(STUDIES / "reduction.toml", [])
    with pytest.raises(DatabaseError, match="is not an SQLite database"):
        search_study(study, None, "notes.md", RunOptions(), SearchOptions())
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["notes.md"]


# ── killed and restarted ──────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_killed_again_and_again_no_trial_is_lost_and_no_run_trained_twice(tmp_path: Path) -> None:
    plan = search_plan(trials=24, sampler="tpe", seeds=2, parameters=MANY)
    kill_and_go_on(plan, tmp_path, kills=3, seed=1)


def kill_and_go_on(plan: Any, folder: Path, kills: int, seed: int) -> None:
    """SIGKILL at seeded times, then once in peace; then everything is there, once."""
    rng = np.random.default_rng(seed)
    Store(f"sqlite:///{folder / 'r.db'}").close()
    open_at_kill = 0
    for _ in range(kills):
        before = count(folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads
            child = multiprocessing.get_context("fork").Process(
                target=run_search, args=(plan, folder, Instant(4, 0.02))
            )
            child.start()
        while count(folder) < before + 3 and child.is_alive():
            time.sleep(0.01)
        time.sleep(float(rng.uniform(0, 0.3)))
        child.kill()
        child.join()
        open_at_kill += count(folder, "WHERE state = 'running'")
    assert open_at_kill, "there was something to go on with"
    run_search(plan, folder, Instant(4))
    total = plan.study.search.trials
    numbers = [n for (n,) in query(folder, "SELECT number FROM trials ORDER BY number")]
    assert numbers == list(range(total)), "none lost"
    assert query(folder, "SELECT DISTINCT state FROM trials") == [("complete",)]
    finished = "SELECT run_key, COUNT(*) FROM attempts WHERE outcome = 'finished' GROUP BY run_key"
    assert {count for _, count in query(folder, finished)} == {1}, "none trained twice"
    storage = open_storage(f"sqlite:///{folder / 'optuna.db'}", create=False)
    study = optuna.load_study(study_name="small", storage=storage)
    assert {t.state.name for t in study.trials} == {"COMPLETE"}, "none left running"
    assert len(study.trials) == total


def count(folder: Path, where: str = "") -> int:
    return int(query(folder, f"SELECT COUNT(*) FROM trials {where}")[0][0])  # noqa: S608


@pytest.mark.parametrize("sampler", EVERY_SAMPLER)
@pytest.mark.slow
def test_an_interrupted_search_asks_what_it_would_have_asked(sampler: str, tmp_path: Path) -> None:
    plan = search_plan(trials=12, sampler=sampler)
    (tmp_path / "peace").mkdir()
    (tmp_path / "war").mkdir()
    run_search(plan, tmp_path / "peace", Instant())
    first = search_plan(trials=9, sampler=sampler)
    run_search(first, tmp_path / "war", Instant())
    (tmp_path / "war" / "optuna.db").unlink()  # Optuna's copy is lost: it is made anew
    run_search(plan, tmp_path / "war", Instant())
    asked = "SELECT number, point FROM trials ORDER BY number"
    assert query(tmp_path / "war", asked) == query(tmp_path / "peace", asked)


@pytest.mark.slow
def test_optunas_storage_is_made_anew_from_the_results(tmp_path: Path) -> None:
    plan = search_plan(
        trials=12,
        sampler="nsga2",
        constraints={"parameters": {"at_most": 1.01, "of_baseline": True}},
    )
    run_search(plan, tmp_path, Instant())
    before = told(tmp_path)
    assert {state for _, state, *_ in before} == {"COMPLETE", "PRUNED"}
    (tmp_path / "optuna.db").unlink()
    make_searcher(plan, tmp_path)
    assert told(tmp_path) == before


def told(where: Path | str) -> list[tuple[Any, ...]]:
    url = f"sqlite:///{where / 'optuna.db'}" if isinstance(where, Path) else where
    storage = open_storage(url, create=False)
    trials = optuna.load_study(study_name="small", storage=storage).trials
    close_storage(storage)
    return [
        (
            *(t.number, t.state.name, t.params, t.values, t.user_attrs),
            *(t.intermediate_values, t.constraints, t.system_attrs),
        )
        for t in trials
    ]


# ── samplers, pruners, objectives ─────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize("sampler", EVERY_SAMPLER)
def test_every_sampler_finds_its_way_through_a_conditional_space(
    sampler: str, tmp_path: Path
) -> None:
    plan = search_plan(
        sampler=sampler, trials=6, seeds=1, objectives=["val_accuracy", "parameters"]
    )
    run_search(plan, tmp_path, Instant())
    assert query(tmp_path, "SELECT COUNT(*) FROM trials WHERE state = 'complete'") == [(6,)]


@pytest.mark.slow
def test_a_pruner_stops_runs_by_their_learning_curves(tmp_path: Path) -> None:
    plan = search_plan(pruner="median", trials=12, sampler="grid", seeds=1)
    watched = run_search(plan, tmp_path, Instant(worse="k=7"))
    pruned = query(tmp_path, "SELECT variant FROM trials WHERE state = 'pruned'")
    names = [row.variant for row in watched.searcher.trials]
    best = max(names, key=lambda name: accuracy(name, 1, "k=7"))
    assert 0 < len(pruned) < len(names)
    assert (best,) not in pruned
    assert len(watched.dropped) == len(pruned)
    stopped = query(tmp_path, "SELECT COUNT(*) FROM runs WHERE status = 'stopped'")
    assert stopped == [(len(pruned),)]
    state = {number: (state, curve) for number, state, _, _, _, curve, *_ in told(tmp_path)}
    assert {len(curve) for s, curve in state.values() if s == "COMPLETE"} == {2}


@pytest.mark.slow
def test_a_trial_that_breaks_a_constraint_costs_nothing(tmp_path: Path) -> None:
    bound = {"parameters": {"at_most": 1.04, "of_baseline": True}}
    plan = search_plan(sampler="grid", trials=18, seeds=1, constraints=bound)
    executor = Instant()
    run_search(plan, tmp_path, executor)
    infeasible = query(tmp_path, "SELECT variant FROM trials WHERE state = 'infeasible'")
    assert {v for (v,) in infeasible} == {
        "se(pool*, r=2)", "cbam(pool*, r=2, k=3)", "cbam(pool*, r=2, k=7)"
    }  # fmt: skip
    assert len(executor.trained) == 15


@pytest.mark.slow
def test_a_budget_of_runs_is_never_exceeded(tmp_path: Path) -> None:
    executor = Instant(3)
    run_search(search_plan(trials=None, runs=11, seeds=3, sampler="random"), tmp_path, executor)
    assert len(executor.trained) == 9


# ── racing and confirmation ───────────────────────────────────────────────────────────────────────


def test_a_good_trial_is_rarely_raced_away_and_a_bad_one_early() -> None:
    """All equal: at most 5 % of trials stop. Three spreads worse: nearly all after their first seeds."""
    rng = np.random.default_rng(7)
    repeats, stopped, lost = 400, 0, 0
    for _ in range(repeats):
        shared = rng.normal(0, 0.01, 3)  # a seed's luck is everybody's
        finished = (0.9 + shared + rng.normal(0, 0.005, (8, 3))).tolist()
        new = 0.9 + shared + rng.normal(0, 0.005, 3)
        stopped += any(clearly_worse(new[:k].tolist(), finished) for k in (1, 2))
        lost += any(clearly_worse((new - 0.025)[:k].tolist(), finished) for k in (1, 2))
    assert stopped <= 0.05 * repeats + 2 * (0.05 * 0.95 * repeats) ** 0.5
    assert lost > 0.8 * repeats


def test_without_a_spread_to_judge_by_nothing_is_stopped() -> None:
    assert not clearly_worse([0.1], [])
    assert not clearly_worse([0.1], [[0.9, 0.91, 0.92], [0.9, 0.92, 0.91]])
    assert not clearly_worse([0.1, 0.1, 0.1], [[0.9, 0.91, 0.92]] * 8), "it has all its seeds"


@pytest.mark.slow
def test_a_clearly_worse_trial_stops_early_in_a_search(tmp_path: Path) -> None:
    plan = search_plan(sampler="grid", trials=9, seeds=3, racing=True)
    executor, said = Instant(worse="cbam"), list[str]()
    progress = run_search(plan, tmp_path, executor, said)
    raced = "SELECT variant, json_array_length(run_keys) FROM trials WHERE state = 'raced'"
    seeds = dict(query(tmp_path, raced))
    cbam = [row.variant for row in progress.searcher.trials if "cbam" in row.variant]
    assert len(cbam) == 3
    assert {seeds[name] for name in cbam} == {1}
    best = max(accuracies for accuracies, _ in progress.searcher.finished.values())
    assert statistics.fmean(best) > 0.85, "and the good ones had all their seeds"
    assert any("clearly worse after 1 of 3 seeds" in line for line in said)
    assert len(executor.trained) <= 6 * 3 + 3


@pytest.mark.slow
def test_the_best_are_picked_from_the_front_and_confirmed_with_fresh_seeds(tmp_path: Path) -> None:
    plan = search_plan(sampler="grid", trials=6, confirm=2, confirm_seeds=3)
    progress = run_search(plan, tmp_path, Instant())
    searcher = progress.searcher
    search = plan.study.search
    assert search is not None
    picked = candidates(search, searcher.trials, searcher.finished)
    best = sorted(range(6), key=lambda n: -searcher.finished[n][1][0])[:2]
    assert picked == best
    row = searcher.trials[picked[0]]
    found = confirmed(row, 0.95, [0.90, 0.92, 0.94])
    assert found is not None
    assert (found.fingerprint, found.fresh.mean) == (row.fingerprint, pytest.approx(0.92))
    assert found.fresh.low == pytest.approx(0.92 - 4.302653 * 0.02 / 3**0.5)
    assert confirmed(row, 0.95, []) is None


# ── storages ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://localhost/0", "Redis and journal storages are refused: Optuna may unpickle"),
        ("sqlite.log", "Redis and journal storages are refused"),
        ("mysql://u:secret@h/d", "--storage mysql://u:***@h/d: not a storage"),
        ("postgresql://me:secret@h:abc/d", "--storage: not a database URL"),
        ("postgresql://me@h", "--storage postgresql://me@h: names no database"),
        ("sqlite:///{}/other.db", "a database of another program (it has the table 'mine')"),
        ("sqlite:///{}/r.db", "the results live in this database: give Optuna another one"),
        ("sqlite:///{}/copy.db", "results live in this database: give Optuna another one"),
        ("sqlite:///{}/text.db", "is not an SQLite database, so no storage of Optuna's"),
        ("sqlite:///{}/text.db/x.db", "its folder cannot be made: "),
        ("sqlite:////proc/absent/x.db", "its folder cannot be made: "),
        ("sqlite:///{}", "cannot be read: Is a directory"),
        (
            "sqlite:///{}/torn.db",
            "it is only a copy: move it away, and `ablate search STUDY` makes",
        ),
    ],
)
def test_a_storage_that_is_not_optunas_is_refused(url: str, said: str, tmp_path: Path) -> None:
    TrialStore(f"sqlite:///{tmp_path / 'r.db'}").close()
    shutil.copy(tmp_path / "r.db", tmp_path / "copy.db")
    (tmp_path / "text.db").write_text("hello, this is no database")
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE mine (a INTEGER)")
    (tmp_path / "torn.db").write_bytes((tmp_path / "copy.db").read_bytes()[:5000])
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    where = url.format(tmp_path)
    assert said in message(
        DatabaseError, lambda: open_storage(storage_url(where, str(tmp_path / "r.db")), create=True)
    )
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_storage_that_cannot_be_written_is_refused_before_anything_relies_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    close_storage(open_storage(url, create=True))
    monkeypatch.setattr(
        "ablate.search.storage._connect",
        lambda path: sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False),
    )
    said = message(DatabaseError, lambda: open_storage(url, create=True))
    assert "optuna.db: cannot be written, as Optuna's copy of the search must be: " in said


@pytest.mark.slow
def test_a_storage_that_fails_later_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise optuna.exceptions.StorageInternalError("database or disk is full")

    monkeypatch.setattr(optuna.storages.RDBStorage, "create_new_study", full)
    said = message(DatabaseError, lambda: make_searcher(search_plan(), tmp_path))
    assert said.startswith("Optuna's copy of this search cannot be used: ")
    assert "database or disk is full" in said


@pytest.mark.slow
def test_a_search_in_postgresql_is_the_one_in_sqlite(
    postgres_url: str, empty_postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = search_plan(trials=6, objectives=["val_accuracy", "parameters"])
    url = empty_postgres_url
    said = message(DatabaseError, lambda: open_storage(url, create=False))
    assert "no search has run yet" in said
    run_search(search_plan(trials=4, objectives=["val_accuracy", "parameters"]),
               Databases(postgres_url, url), Instant())  # fmt: skip
    run_search(plan, Databases(postgres_url, url), Instant())
    run_search(plan, tmp_path, Instant())
    assert [row[:4] for row in told(url)] == [row[:4] for row in told(tmp_path)]
    storage = open_storage(url, create=False)
    address = f"{serve(storage, 18380)}api/studies"
    with urllib.request.urlopen(address, timeout=30) as answer:  # noqa: S310
        assert len(json.load(answer)["study_summaries"]) == 1
    close_storage(storage)
    said = message(DatabaseError, lambda: open_storage(postgres_url, create=True))
    assert "results live in this database: give Optuna another one" in said
    said = message(DatabaseError, lambda: Store(url))
    assert "a database of another program" in said, "nor do results go where Optuna is"


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    url = f"postgresql://ablate:secret@/optuna?host={tmp_path}"
    said = message(DatabaseError, lambda: open_storage(url, create=True))
    assert "cannot be" in said
    assert "secret" not in said
    assert "\n" not in said


def test_the_dashboard_asks_for_a_search_first(tmp_path: Path) -> None:
    said = message(DatabaseError, lambda: open_storage(f"sqlite:///{tmp_path}/o.db", create=False))
    assert said.endswith("no search has run yet: `ablate search STUDY` makes it")
    assert list(tmp_path.iterdir()) == []


def test_tables_of_names_agree() -> None:
    for name in SAMPLERS:
        search = Search.model_validate({"parameters": {}, "trials": 1, "sampler": name})
        assert make_sampler(search, 1)
    assert "none" in PRUNERS
    assert "local" in EXECUTORS
    assert 0.8 <= accuracy("x", 1) <= 0.9


def test_data_that_is_missing_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = load_study(STUDIES / "reduction.toml", [])
    with pytest.raises(AblateError, match=r"absent\.zip"):
        search_study(study, tmp_path / "absent.zip", "r.db", RunOptions(), SearchOptions())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_measured_speed_is_an_objective(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every network of the space is timed before the first trial, and once; runs are really trained."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "ablate.drive.search.quick", lambda _subjects: Protocol("quick", 3, 1, 0.005)
    )
    study = real_plan(
        objectives=["val_accuracy", "images_per_second"], trials=2, confirm=0, sampler="grid"
    ).study
    options = RunOptions(device="cpu", executor="inprocess")
    db = f"sqlite:///{tmp_path / 'r.db'}"
    assert search_study(study, None, db, options, SearchOptions()) == 0
    said = capsys.readouterr().out
    assert said.index("measuring throughput of 3 variants") < said.index("trial 0:")
    assert "validation accuracy" in said
    assert "test accuracy" not in said
    speeds = dict(
        query(tmp_path, "SELECT variant, images_per_second FROM v_costs WHERE mode = 'infer'")
    )
    assert len(speeds) == 3
    storage = open_storage(f"sqlite:///{tmp_path / 'optuna.db'}", create=False)
    (name,) = optuna.get_all_study_names(storage)
    trials = optuna.load_study(study_name=name, storage=storage).trials
    assert [t.values[1] for t in trials] == [speeds[t.user_attrs["variant"]] for t in trials]
    search_study(study, None, db, options, SearchOptions())
    assert "measuring" not in capsys.readouterr().out
