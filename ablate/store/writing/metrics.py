"""The metrics of finished runs, a row each."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from ablate.result.metrics import Score
from ablate.store import schema
from ablate.store.connection.statements import put

WHOLE = ""
"""The class of a metric that is of the whole split; no class is called so."""


def add_scores(connection: Connection, run_key: str, scores: Iterable[Score]) -> None:
    """Store the metrics of a run."""
    rows = [
        {
            "run_key": run_key,
            "split": score.split,
            "metric": score.metric,
            "class_name": WHOLE if score.class_name is None else score.class_name,
            "value": score.value,
        }
        for score in scores
    ]
    put(connection, schema.metrics, rows)
