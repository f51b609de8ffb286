"""A search by another metric than accuracy: picked, stopped, confirmed and told by it."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest
from conftest import study_document
from sqlalchemy import create_engine, text
from support.search_processes import PARAMETERS, search_plan

from ablate.commands.report import build_report
from ablate.drive.options import RunOptions
from ablate.drive.search import SearchOptions, search_study
from ablate.report.search.quality import quality_of
from ablate.report.search.tables import best_table
from ablate.result import RunStatus
from ablate.result.search import SearchResult, TrialResult
from ablate.search.confirm import candidates
from ablate.search.judge import front
from ablate.search.storage import open_storage
from ablate.search.words import why_none
from ablate.store.writing.trials import RunSeen, TrialRow
from ablate.study import Study
from ablate.study.file import parse_study
from ablate.study.search import Search


def asked(**search: object) -> Search:
    found = search_plan(**search).study.search
    assert found is not None
    return found


def row(number: int) -> TrialRow:
    return TrialRow(number, {}, {}, f"v{number}", f"f{number}", "complete")


def test_of_log_loss_the_lowest_is_the_best() -> None:
    search = asked(objectives="val_log_loss", confirm=2)
    given = {0: ((0.5,), (0.5,)), 1: ((0.1,), (0.1,)), 2: ((0.3,), (0.3,))}
    assert candidates(search, [row(n) for n in given], given) == [1, 2]
    assert front(search, [values for _, values in given.values()]) == [1]
    upward = asked(objectives="val_macro_f1", confirm=2)
    assert candidates(upward, [row(n) for n in given], given) == [0, 2]


def test_the_report_ranks_by_it_and_writes_no_percent_of_a_loss() -> None:
    trials = tuple(
        TrialResult(n, f"v{n}", f"f{n}", "complete", {}, (value,), 2, 2, 2 * n, n == 1)
        for n, value in enumerate((0.5, 0.125, 0.25))
    )
    found = SearchResult(
        "tpe", "none", True, 2, ("val_log_loss",), trials, {}, (), 3, (0.5, 0.125, 0.25)
    )
    table = best_table(found, {})
    assert table is not None
    assert [each.cells[0].text for each in table.rows] == ["v1", "v2", "v0"]
    assert table.rows[0].cells[1].text == "0.1250"
    assert "The best variants of the search: validation log loss" in table.caption
    assert quality_of(found).best_so_far([0.5, 0.125, 0.25]).tolist() == [0.5, 0.125, 0.125]
    assert quality_of(found).axis == "Validation log loss"


def study(**changes: object) -> Study:
    """A real one, as small as one can be: the digits at 16 pixels, narrow networks, one epoch."""
    table = {
        "parameters": {
            **PARAMETERS,
            "attention": ["se"],
            "reduction": [2, 4],
            "position": ["pool1"],
        },
        "sampler": "grid",
        **{"trials": 2, "seeds": 1, "confirm": 1, "confirm_seeds": 2},
    }
    table["parameters"].pop("kernel_size")  # type: ignore[attr-defined]
    document = study_document(
        backbone="cbam_cnn(width=0.25)",
        image_size=16,
        grid=[{"attention": "none"}],
        recipe={"epochs": 1, "augment": [], "precision": "fp32"},
        data={"train_images": 100},
        **changes,
    )
    return parse_study({**document, "search": table}, "test")


def values(db: str, run_keys: list[str], metric: str) -> list[float]:
    engine = create_engine(db)
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT run_key, value FROM v_metrics WHERE split = 'validation' AND metric = :m"),
            {"m": metric},
        )
        known = dict(found.fetchall())
    engine.dispose()
    return [known[key] for key in run_keys]


def looks(db: str) -> list[str]:
    """The commands that have shown a verdict."""
    engine = create_engine(db)
    with engine.connect() as connection:
        found = (
            connection.execute(text("SELECT command FROM v_looks ORDER BY looked_at"))
            .scalars()
            .all()
        )
    engine.dispose()
    return [str(command) for command in found]


@pytest.mark.slow
def test_a_real_search_by_macro_f1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    db = f"sqlite:///{tmp_path / 'r.db'}"
    options = RunOptions(device="cpu", executor="inprocess", probe=False)
    asked_for = study(metric="macro_f1")
    assert search_study(asked_for, None, db, options, SearchOptions()) == 0
    said = capsys.readouterr().out
    assert "trial 0: " in said
    assert "val_macro_f1 " in said
    assert "validation macro F1 " in said
    assert "`ablate report` says what test images say of them, by macro F1" in said
    storage = open_storage(f"sqlite:///{tmp_path / 'optuna.db'}", create=False)
    (name,) = optuna.get_all_study_names(storage)
    mirrored = optuna.load_study(study_name=name, storage=storage)
    assert mirrored.metric_names == ["val_macro_f1, not confirmed"]
    assert "mean validation macro F1 over" in mirrored.user_attrs["best"]
    for trial in mirrored.trials:
        given = values(db, trial.user_attrs["run keys"], "macro_f1")
        assert trial.values == pytest.approx(given)
        assert trial.user_attrs["validation macro F1 by selection seed"] == pytest.approx(given)
        assert trial.intermediate_values == {}
    capsys.readouterr()
    # The same networks by another metric are another search, and nothing is trained again for it.
    other = study(metric="balanced_accuracy").model_copy(update={"seeds": asked_for.seeds})
    assert search_study(other, None, db, options, SearchOptions()) == 0
    assert "trained" in (again := capsys.readouterr().out)
    assert "2 trials (2 now) of 2 variants, 0 runs trained" in again
    assert looks(db) == [], "no verdict was shown"
    assert search_study(study(), None, db, options, SearchOptions()) == 0
    assert "confirmed: se(pool1" in capsys.readouterr().out
    assert looks(db) == ["search"], "a verdict is a look"
    build_report(asked_for, None, db, tmp_path / "report")
    report = (tmp_path / "report" / "report.md").read_text()
    assert "How much of the validation" not in report or "validation macro F1" in report
    assert "The best variants of the search: validation macro F1" in report
    assert "so their macro F1 in the search is partly luck" in report


def test_runs_that_have_no_value_are_told() -> None:
    seen = RunSeen(RunStatus.FINISHED, None, None, None)
    assert why_none(seen, asked(objectives="val_macro_f1")).startswith(
        "no macro F1 of its validation images is stored"
    )
    failed = RunSeen(RunStatus.FAILED, None, None, json.dumps("a\nout of memory"))
    assert "out of memory" in why_none(failed, asked(objectives="val_macro_f1"))
