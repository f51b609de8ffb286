"""What the report says of networks that begin with trained weights."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd

from ablate.page.document import Note, Table
from ablate.report.effects.began import began_blocks
from ablate.study.metrics import BEGAN_ACCURACY


def summary(**values: list[float]) -> Any:
    rows = [(name, seed, v) for name, each in values.items() for seed, v in enumerate(each, 1)]
    runs = [{"run_key": f"{name}{seed}", "variant": name, "seed": seed} for name, seed, _ in rows]
    metrics = [
        {"run_key": f"{name}{seed}", "split": "validation", "metric": metric, "value": value}
        for name, seed, value in rows
        for metric in (BEGAN_ACCURACY, "accuracy")
    ]
    return SimpleNamespace(
        metrics=pd.DataFrame(metrics, columns=["run_key", "split", "metric", "value"]),
        runs=pd.DataFrame(runs, columns=["run_key", "variant", "seed"]),
        baseline="none",
        leaked=False,
        finished=[SimpleNamespace(name=n, is_baseline=n == "none") for n in values],
    )


def test_the_report_says_what_a_start_costs_before_the_first_step() -> None:
    note, table = began_blocks(summary(none=[0.9, 0.8], cbam=[0.2, 0.3], same=[0.9, 0.8]))
    assert isinstance(note, Note)
    assert isinstance(table, Table)
    assert "With cbam the accuracy of the validation images began at 25.00 %" in note.text
    assert "baseline began at 85.00 %: that start costs 60.00 points" in note.text
    shown = [[cell.text for cell in row.cells] for row in table.rows]
    assert shown == [
        ["none", "85.00", "–", "2"],
        ["cbam", "25.00", "−60.00", "2"],
        ["same", "85.00", "0.00", "2"],
    ]


def test_a_start_that_costs_nothing_is_said_and_drawn_weights_have_no_such_part() -> None:
    note, _ = began_blocks(summary(none=[0.9], same=[0.9]))
    assert isinstance(note, Note)
    assert "None of them began with a lower accuracy" in note.text
    assert began_blocks(summary()) == ()
