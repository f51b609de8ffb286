"""Runs that began with other weights are in no study beside those of now, whatever brought them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import message, rows_of, small_plan
from safetensors.torch import save_file

from ablate.errors import DatabaseError, WeightsError
from ablate.model import build
from ablate.plan import Plan
from ablate.result import Finished, RunStatus
from ablate.stats.looks import ANYTIME
from ablate.store.progress.run_statuses import Stored, stored_of_study
from ablate.store.reading.frames import Which, read_frames
from ablate.store.reading.runs import stored_runs
from ablate.store.transfer.export import export_database
from ablate.store.transfer.imports import import_folder
from ablate.store.transfer.merge import merge_databases
from ablate.store.writing.store import Store
from ablate.take.find import begun_as_now

DONE = Finished(0.5, 0.5, 1.8, b"\xf0", 4.0, 500.0, "m", "fp32")
GRID = [{"attention": "none"}, {"attention": "se", "position": "pool3"}]
CELLS = "SELECT variant, seed, run_key FROM v_runs ORDER BY seed, ordinal"


class Two:
    """Two plans of one study file, between which its file of weights has got another content."""

    def __init__(self, folder: Path) -> None:
        self.file, self.folder = folder / "net.safetensors", folder
        self.first = self.plan(0.0)
        self.second = self.plan(1.0)

    def plan(self, added: float, **changes: Any) -> Plan:
        """The plan as it is with this content of the file."""
        drawn = small_plan(seeds=2).cells[0]
        state = build(drawn.variant, 10, small_plan().dataset.image_size, 1).state_dict()
        save_file(
            {k: v + added if v.is_floating_point() else v for k, v in state.items()}, self.file
        )
        return small_plan(**{"weights": str(self.file), "seeds": 2, "grid": GRID, **changes})

    def database(self, name: str, plan: Plan) -> str:
        """One in which all of a plan's runs are finished."""
        url = f"sqlite:///{self.folder / name}"
        finish(url, plan)
        return url


def finish(url: str, plan: Plan) -> None:
    store = Store(url)
    store.register(plan)
    for key in [str(cell.run_key) for cell in plan.cells]:
        for claim in store.claim_cohort([key], 1, str):
            store.finish(claim, DONE, {})
    store.close()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Two:
    torch.manual_seed(0)
    return Two(tmp_path_factory.mktemp("weights"))


def keys(plan: Plan) -> set[str]:
    return {str(cell.run_key) for cell in plan.cells}


def in_study(url: str) -> set[str]:
    return {key for _, _, key in rows_of(url, CELLS)}


def doubled(two: Two, name: str) -> str:
    """A database as an earlier version merged it: every variant and seed twice in the study."""
    url = two.database(name, two.first)
    other = two.database(f"other-{name}", two.second)
    merge_databases(url, [other])
    with closing(sqlite3.connect(two.folder / name)) as to, to:
        to.execute("ATTACH ? AS other", (str(two.folder / f"other-{name}"),))
        columns = [row[1] for row in to.execute("PRAGMA table_info(cells)")]
        moved = ", ".join("ordinal + 100" if c == "ordinal" else c for c in columns)
        to.execute(f"INSERT INTO cells ({', '.join(columns)}) SELECT {moved} FROM other.cells")  # noqa: S608
    assert in_study(url) == keys(two.first) | keys(two.second)
    return url


@pytest.mark.slow
def test_runs_that_began_with_other_weights_come_along_but_not_into_the_study(two: Two) -> None:
    assert two.first.study.setting == two.second.study.setting
    assert not keys(two.first) & keys(two.second)
    into, other = two.database("one.db", two.first), two.database("two.db", two.second)
    merged = merge_databases(into, [other])
    [line] = merged.complaints
    there, here = (str(plan.weights_sha256)[:8] for plan in (two.second, two.first))
    assert f"its runs there began with other weights (SHA-256 {there}, here {here})" in line
    assert "their 4 runs came along, but not into this study" in line
    assert merged.added == 4
    assert in_study(into) == keys(two.first)
    assert rows_of(into, "SELECT COUNT(*) FROM runs") == [(8,)]
    finish(into, two.second)  # who has that file finds them
    assert in_study(into) == keys(two.second)
    assert rows_of(into, "SELECT COUNT(*) FROM attempts WHERE number > 1") == [(0,)]


@pytest.mark.slow
def test_seeds_that_are_new_stay_apart_too(two: Two) -> None:
    into = two.database("few.db", two.first)
    more = two.plan(1.0, seeds=4)
    other = two.database("more.db", more)
    with closing(sqlite3.connect(two.folder / "more.db")) as connection, connection:
        connection.execute(
            "DELETE FROM cells WHERE run_key IN (SELECT run_key FROM runs WHERE seed <= 2)"
        )
    assert len(merge_databases(into, [other]).complaints) == 1
    assert in_study(into) == keys(two.first)


@pytest.mark.slow
def test_more_seeds_with_the_same_weights_come_into_the_study(two: Two) -> None:
    more = two.plan(0.0, seeds=3)
    into, other = two.database("same.db", two.first), two.database("three.db", more)
    assert merge_databases(into, [other]).complaints == []
    assert in_study(into) == keys(more)


def test_another_run_in_a_place_is_told_whatever_the_reason(two: Two) -> None:
    into, other = two.database("a.db", two.first), two.database("b.db", two.second)
    with closing(sqlite3.connect(two.folder / "b.db")) as connection, connection:
        forgotten = "UPDATE studies SET definition = json_remove(definition, '$.weights_sha256')"
        connection.execute(forgotten)
        connection.execute(
            "INSERT INTO looks SELECT study, dataset_hash, setting, 'now', 'x', 'fixed', 'report', '{}', "
            "'{}', NULL, 1 FROM studies"
        )
    [line] = merge_databases(into, [other]).complaints
    assert (
        "its runs there are others than those here, of the same networks (none, seed 1 is" in line
    )
    assert in_study(into) == keys(two.first)
    assert rows_of(into, "SELECT COUNT(*) FROM looks") == [(0,)]


@pytest.mark.slow
def test_a_study_that_has_two_of_one_seed_is_not_read_and_a_merge_leaves_one(two: Two) -> None:
    url = doubled(two, "doubled.db")
    study, content = two.first.study, two.first.dataset.content_hash()
    said = message(
        DatabaseError, lambda: read_frames(url, study.name, study.setting, Which(content))
    )
    assert "none, seed 1 is there as" in said
    [line] = merge_databases(url, [two.database("again.db", two.first)]).complaints
    assert "4 runs that another one has the place of stayed in the database" in line
    assert in_study(url) == keys(two.first)
    assert len(read_frames(url, study.name, study.setting, Which(content)).runs) == 4


@pytest.mark.slow
def test_an_import_leaves_one_of_two_in_a_study(two: Two) -> None:
    url, complaints = doubled(two, "exported.db"), list[str]()
    export_database(url, two.folder / "export", "jsonl", {})
    counts = import_folder(two.folder / "export", f"sqlite:///{two.folder / 'back.db'}", complaints)
    assert counts["runs"] == 8
    assert len(complaints) == 1
    assert in_study(f"sqlite:///{two.folder / 'back.db'}") == keys(two.first)


def test_a_plan_says_which_runs_began_with_other_weights(two: Two) -> None:
    url, plan = two.database("plan.db", two.first), two.second

    def found(plan: Plan) -> Stored:
        networks = {name: each.fingerprint for name, each in plan.variants.items()}
        content = str(plan.dataset.content_hash())
        asked = url, plan.study, content, sorted(keys(plan)), networks, plan.sources
        return stored_of_study(*asked, plan.weights_sha256)

    assert found(plan).of_other_weights == {RunStatus.FINISHED: 4}
    assert not found(plan).outside
    fewer = found(replace(two.first, cells=two.first.cells[:2]))
    assert fewer.outside == {RunStatus.FINISHED: 2}
    assert not fewer.of_other_weights


@pytest.mark.slow
def test_seeds_that_a_verdict_asked_for_do_not_stay_beside_other_weights(two: Two) -> None:
    url = two.database("until.db", two.plan(0.0, seeds=3))
    with closing(sqlite3.connect(two.folder / "until.db")) as connection, connection:
        look = "study, dataset_hash, setting, 'now', 'x', ?, 'run', '{}', '{}', NULL, 1"
        connection.execute(f"INSERT INTO looks SELECT {look} FROM studies", (ANYTIME,))  # noqa: S608
    store = Store(url)
    store.register(two.first)
    assert len(in_study(url)) == 6, "they stay with their study"
    store.register(two.second)
    store.close()
    assert in_study(url) == keys(two.second)


def test_what_is_taken_began_with_the_weights_of_now(two: Two) -> None:
    url, content = doubled(two, "taken.db"), str(two.first.dataset.content_hash())
    study = two.second.study
    runs = stored_runs(url, study.name, content, study.setting)
    two.plan(1.0)
    assert {run.run_key for run in begun_as_now(runs, "none", study, content)} == keys(two.second)
    two.plan(0.0)
    assert {run.run_key for run in begun_as_now(runs, "none", study, content)} == keys(two.first)
    two.plan(2.0)
    said = message(WeightsError, lambda: begun_as_now(runs, "none", study, content))
    assert "no weights of none are stored that began with" in said
    two.file.unlink()
    assert begun_as_now(runs, "none", study, content) == runs, "nobody can tell"
