"""Trials that ended by what is no longer so have not ended: bounds, runs, failures, rivals."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.search_processes import search_plan

from ablate.result import RunStatus
from ablate.search.again import Present, bounded, judged_anew, keeps_bounds, told_anew
from ablate.search.confirm import candidates, distinct
from ablate.search.mirror import Outcome
from ablate.search.outcomes import qualities_of
from ablate.search.words import told_trial
from ablate.store.writing.trials import RunSeen, TrialRow, TrialState
from ablate.study.search import Search

DONE = RunSeen(RunStatus.FINISHED, 0.5, None, None)
FAILED = RunSeen(RunStatus.FAILED, None, None, "ZeroDivisionError")
PLANNED = RunSeen(RunStatus.PLANNED, None, None, None)
WITHOUT = RunSeen(RunStatus.FINISHED, None, None, None)


def asked(**changes: object) -> Search:
    found = search_plan(seeds=2, trials=9, **changes).study.search
    assert found is not None
    return found


def row(number: int, state: TrialState, trained: int = 2) -> TrialRow:
    name = "abcdef"[number]
    keys = () if state in ("pruned", "infeasible") else (f"{name}1", f"{name}2")
    return TrialRow(number, {}, {}, name, name, state, keys, keys[:trained], "why", "then", "then")


def states(rows: list[TrialRow], present: Present, *, moved: bool = False, **search: object) -> str:
    found = judged_anew(asked(**search), rows, present, moved=moved)
    for before, now in zip(rows, found, strict=True):
        if now.state == "running" != before.state:
            assert (now.run_keys, now.reason, now.ended_at) == ((), None, None)
            assert now.trained == before.trained, "what was trained stays counted"
    return " ".join(each.state for each in found)


RUNS = {"a1": DONE, "a2": DONE}


@pytest.mark.parametrize(
    ("state", "reason", "runs", "becomes"),
    [
        ("complete", "too many", RUNS, "infeasible"),
        ("raced", "too many", RUNS, "infeasible"),
        ("pruned", "too many", {}, "infeasible"),
        ("failed", "too many", {**RUNS, "a2": FAILED}, "infeasible"),
        ("infeasible", None, {}, "running"),
        ("infeasible", "still", {}, "infeasible"),
        ("complete", None, RUNS, "complete"),
        ("complete", None, {"a1": DONE}, "running"),
        ("complete", None, {**RUNS, "a2": PLANNED}, "running"),
        ("raced", None, {"a2": DONE}, "running"),
        ("raced", None, RUNS, "raced"),
        ("pruned", None, {}, "pruned"),
        ("failed", None, {**RUNS, "a2": FAILED}, "failed"),
        ("failed", None, {**RUNS, "a2": WITHOUT}, "failed"),
        ("failed", None, {**RUNS, "a2": PLANNED}, "running"),
        ("failed", None, RUNS, "running"),
        ("running", "too many", {}, "running"),
    ],
)
def test_a_trial_is_what_its_bounds_and_runs_say_now(
    state: TrialState, reason: str | None, runs: dict[str, RunSeen], becomes: str
) -> None:
    assert states([row(0, state)], Present({"a": reason}, runs)) == becomes


def test_of_a_network_whose_costs_are_unknown_nothing_is_told() -> None:
    assert states([row(0, "infeasible")], Present({}, {})) == "infeasible"
    assert states([row(0, "complete")], Present({}, RUNS)) == "complete"


def test_a_point_that_builds_another_network_today_is_not_tried_again() -> None:
    present = Present({"a": None}, {}, frozenset({0}))
    assert states([row(0, "complete")], present) == "complete"


def test_failed_trials_are_tried_again_when_that_is_asked_and_no_more_than_asked() -> None:
    rows = [row(0, "failed"), row(1, "failed")]
    runs = {"a1": FAILED, "a2": DONE, "b1": FAILED, "b2": DONE}
    for retries, found in ((0, "failed failed"), (1, "running failed"), (None, "running running")):
        assert states(rows, Present({}, runs, retries=retries)) == found
    nothing = {**runs, "a1": WITHOUT}
    assert states(rows[:1], Present({}, nothing, retries=None)) == "failed", "it would be no other"


def test_a_raced_trial_is_judged_again_when_its_rivals_are_others() -> None:
    rows = [row(0, "complete"), row(1, "raced")]
    runs = {**RUNS, "b1": DONE, "b2": DONE}
    assert states(rows, Present({"a": None, "b": None}, runs)) == "complete raced"
    assert states(rows, Present({"a": "out", "b": None}, runs)) == "infeasible running"
    assert states(rows, Present({}, runs), moved=True) == "complete running", "other speeds"


def test_the_budget_of_runs_holds_for_trials_that_are_tried_again() -> None:
    rows = [row(0, "complete"), row(1, "infeasible"), row(2, "infeasible")]
    present = Present({"a": None, "b": None, "c": None}, RUNS)
    assert states(rows, present, runs=4) == "complete running infeasible"
    assert states(rows, present, runs=6) == "complete running running"


def test_what_became_of_trials_is_told_in_a_line() -> None:
    rows = [row(0, "complete"), row(1, "infeasible")]
    assert told_anew(rows, rows) is None
    now = judged_anew(asked(), rows, Present({"a": "out", "b": None}, RUNS))
    assert told_anew(rows, now) == (
        "judged by the present baseline, speeds and runs: 1 trial out of bounds now, "
        "1 trial tried again"
    )


def test_a_report_tells_bounds_of_now_too() -> None:
    assert bounded(row(0, "complete"), {"a": "out"}).reason == "out"
    assert bounded(row(0, "complete"), {"a": None}) == row(0, "complete")
    assert keeps_bounds(row(0, "infeasible"), {"a": None})
    assert not keeps_bounds(row(0, "infeasible"), {})


def test_a_value_that_is_missing_is_no_number() -> None:
    complete = row(0, "complete")
    assert qualities_of(complete, RUNS) == (0.5, 0.5)
    for runs in ({"a1": DONE}, {**RUNS, "a1": PLANNED}, {}):
        assert qualities_of(complete, runs) is None
    assert qualities_of(row(0, "pruned"), {}) is None


def test_a_number_is_no_place_in_a_list() -> None:
    rows = [row(2, "complete"), row(4, "complete")]
    finished = {2: ((0.1,), (0.1,)), 4: ((0.3,), (0.3,))}
    assert distinct(rows, finished) == [2, 4]
    assert candidates(asked(confirm=1, objectives=["val_accuracy"]), rows, finished) == [4]


def test_the_line_of_a_trial_counts_its_own_runs() -> None:
    search = asked(objectives=["val_accuracy"])
    pruned = replace(row(0, "pruned"), trained=("a1",), reason="pruned after epoch 1 of 3")
    assert told_trial(pruned, Outcome(None), search) == (
        "trial 0: a: pruned after epoch 1 of 3 of its first seed"
    )
    again = replace(row(0, "raced"), run_keys=("a1",), reason="clearly worse after 1 of 2 seeds")
    assert told_trial(again, Outcome((0.5,)), search).endswith(
        "; 1 of 1 runs trained; clearly worse after 1 of 2 seeds"
    )
    bound = replace(row(0, "infeasible"), trained=("a1",), reason="out")
    assert told_trial(bound, Outcome(None), search) == "trial 0: a: infeasible: out"
