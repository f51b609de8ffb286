"""What a run stores of its metrics is what its predictions give, on test and on validation images."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Shell

STUDY = """
name = "m"
dataset = "digits"
image_size = 16
backbone = "cbam_cnn(width=0.25)"
seeds = 1
[recipe]
epochs = 1
[[grid]]
attention = "none"
"""


def test_metrics_of_a_run_are_those_of_its_predictions(shell: Shell, tmp_path: Path) -> None:
    (shell.folder / "m.toml").write_text(STUDY)
    db = tmp_path / "r.db"
    code, _, errors = shell(
        "run", "m.toml", "--db", f"sqlite:///{db}", "--no-measure", "--executor", "inprocess"
    )
    assert code == 0, errors
    with closing(sqlite3.connect(db)) as connection:
        found = dict(
            connection.execute(
                "SELECT metric, value FROM v_metrics WHERE split = 'test' AND class IS NULL"
            )
        )
        [accuracy, recall, loss] = connection.execute(
            "SELECT (SELECT test_accuracy FROM v_runs), "
            "(SELECT AVG(right) FROM (SELECT AVG(correct) AS right FROM v_predictions GROUP BY label)), "
            "(SELECT test_loss FROM runs)"
        ).fetchone()
        validation, classes = connection.execute(
            "SELECT (SELECT m.value - r.val_accuracy FROM v_metrics m JOIN v_runs r USING (run_key) "
            "WHERE m.split = 'validation' AND m.metric = 'accuracy'), "
            "(SELECT COUNT(*) FROM v_metrics WHERE split = 'test' AND metric = 'recall')"
        ).fetchone()
    assert found["accuracy"] == pytest.approx(accuracy)
    assert found["balanced_accuracy"] == pytest.approx(recall)
    assert found["log_loss"] == pytest.approx(loss, rel=1e-4)
    assert 0 < found["auroc"] <= 1
    assert validation == pytest.approx(0)
    assert classes == 10
