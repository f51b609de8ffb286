"""The runs of a study as far as their networks go: which there are, and where their weights lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from ablate.result import RunStatus
from ablate.result.failures import failed_told
from ablate.store import schema
from ablate.store.connection.engine import database_exists, reading


@dataclass(frozen=True)
class StoredRun:
    """A run of a study as far as its network goes; `weights_sha256` is None where none were kept."""

    run_key: str
    variant: str
    fingerprint: str
    attention: str
    position: str | None
    options: dict[str, Any]
    seed: int
    status: RunStatus
    weights_sha256: str | None
    weights_file: str | None
    val_accuracy: float | None = None
    fold: int | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    failure: str | None = None


def why_none_finished(runs: Sequence[StoredRun]) -> str:
    """How many of a variant's runs failed, and what trains them again; empty where one finished."""
    if any(run.status is RunStatus.FINISHED for run in runs):
        return ""
    failed = [run.failure for run in runs if run.status is RunStatus.FAILED]
    return failed_told(failed, len(runs)) or ""


def stored_runs(url: str, study: str, dataset_hash: str, setting: str) -> list[StoredRun]:
    """The runs of a study on these images, in its order; none where there is no database.

    Raises:
        DatabaseError: there is one, but it is not ours or newer.
    """
    if not database_exists(url):
        return []
    runs, cells = schema.runs, schema.cells
    query = (
        select(runs, cells)
        .join(cells, cells.c.run_key == runs.c.run_key)
        .where(cells.c.study == study, cells.c.dataset_hash == dataset_hash)
        .where(cells.c.setting == setting)
        .order_by(cells.c.ordinal)
    )
    names = list(StoredRun.__dataclass_fields__)
    with reading(url) as connection:
        return [
            StoredRun(**{name: row[name] for name in names})
            for row in connection.execute(query).mappings()
        ]
