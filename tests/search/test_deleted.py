"""What somebody deletes of Optuna's copy while a search runs changes no result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from support.search_processes import Instant, make_searcher, run_search, search_plan

from ablate.search.storage import open_storage
from ablate.store.connection.ask import asking

ASKED = "SELECT number, variant, state, point FROM trials ORDER BY number"


class Disturbed(Instant):
    """Has something done once, before its third job."""

    def __init__(self, disturb: Callable[[], None], **options: int) -> None:
        super().__init__(**options)
        self._disturb, self._jobs_so_far = disturb, 0

    def wait(self, timeout_seconds: float) -> list[tuple[str, object]]:
        self._jobs_so_far += 1
        if self._jobs_so_far == 3:
            self._disturb()
        return super().wait(timeout_seconds)


def _delete_study(folder: Path) -> None:
    optuna.delete_study(
        study_name="small", storage=open_storage(f"sqlite:///{folder / 'optuna.db'}", create=False)
    )


def _delete_file(folder: Path) -> None:
    (folder / "optuna.db").unlink()


def _found(folder: Path) -> list[tuple[object, ...]]:
    with asking(str(folder / "r.db")) as ask:
        return ask(ASKED)


@pytest.mark.parametrize("pruner", ["none", "median"])
@pytest.mark.parametrize("disturb", [_delete_study, _delete_file])
@pytest.mark.slow
def test_a_search_goes_on_when_its_copy_is_deleted(
    tmp_path: Path, disturb: Callable[[Path], None], pruner: str
) -> None:
    plan = search_plan(trials=6, seeds=1, pruner=pruner, objectives=["val_accuracy"])
    quiet, disturbed = tmp_path / "quiet", tmp_path / "100 %20 ?a=b#c"
    said: list[str] = []
    run_search(plan, quiet, Instant())
    executor = Disturbed(lambda: disturb(disturbed))
    searcher = make_searcher(plan, disturbed)
    searcher.parts.mirror.describe("what it is for", {"best": "means this"})
    searcher.rebuild()
    assert searcher.parts.mirror.study.user_attrs == {"best": "means this"}, (
        "made anew, and told again"
    )
    run_search(plan, disturbed, executor, said)
    assert _found(disturbed) == _found(quiet)
    assert sum("is made anew from the database" in line for line in said) == 1
    assert {path.name for path in disturbed.iterdir()} >= {"r.db", "optuna.db"}
    assert [
        path.name
        for path in tmp_path.iterdir()
        if path not in (quiet, disturbed, tmp_path / "cache")
    ] == []
