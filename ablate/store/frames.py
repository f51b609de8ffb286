"""Reading the database without changing it: one study's part of the views, as pandas frames."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
from sqlalchemy import Connection, select, text

from ablate.errors import DatabaseError
from ablate.store import schema
from ablate.store.connect import database_exists, open_engine
from ablate.store.store import read_statuses


@dataclass(frozen=True)
class Frames:
    """One study's part of the database. Columns are those of the views (docs/database.md).

    `study` is the study's definition, `environments` one mapping for each environment in which an
    accepted result was computed, `layers` has variant, path, kind, parameter, count, attention.
    """

    study: Mapping[str, Any]
    runs: pd.DataFrame
    epochs: pd.DataFrame
    steps: pd.DataFrame
    costs: pd.DataFrame
    profile: pd.DataFrame
    layers: pd.DataFrame
    environments: Sequence[Mapping[str, Any]]


def read_frames(url: str, study: str, dataset: str | None, recipe_key: str) -> Frames:
    """What the database holds of a study under one recipe; the newest dataset if none is named.

    Raises:
        DatabaseError: no such database, or nothing of that study in it; says what there is.
    """
    with _reading(url) as connection:
        definition = _definition(connection, study, dataset, recipe_key)
        values = {"study": study, "dataset": definition["dataset"], "recipe_key": recipe_key}
        runs = _frame(connection, f"SELECT * FROM v_runs WHERE {_OF_STUDY} ORDER BY ordinal", values)
        return Frames(
            study=definition,
            runs=runs,
            epochs=_frame(connection, _of_runs("v_epochs", "run_key, epoch"), values),
            steps=_frame(connection, _of_runs("v_steps", "run_key, step"), values),
            costs=_costs(connection, runs),
            profile=_of_fingerprints(connection, "v_profile", runs),
            layers=_layers(connection, runs),
            environments=_environments(connection, values),
        )


def stored_statuses(url: str, run_keys: Sequence[str]) -> dict[str, str]:
    """The status of runs that a database knows; nothing is known where there is no database.

    Raises:
        DatabaseError: there is one, but it is not ours or newer.
    """
    if not database_exists(url):
        return {}
    with _reading(url) as connection:
        return read_statuses(connection, run_keys)


def stored_speed(url: str, device: str, dataset_hash: str) -> dict[str, float]:
    """Seconds for one epoch of each network (by fingerprint) that this device has finished runs of."""
    if not database_exists(url):
        return {}
    query = text(
        "SELECT r.fingerprint, SUM(r.seconds) / SUM(v.epochs) AS seconds FROM runs r "
        "JOIN (SELECT run_key, COUNT(*) AS epochs FROM epochs GROUP BY run_key) v "
        "ON v.run_key = r.run_key "
        "WHERE r.status = 'finished' AND r.device = :device AND r.dataset_hash = :dataset "
        "GROUP BY r.fingerprint"
    )
    with _reading(url) as connection:
        rows = connection.execute(query, {"device": device, "dataset": dataset_hash})
        return {row.fingerprint: row.seconds for row in rows}


def check_integrity(url: str) -> list[str]:
    """What SQLite finds wrong with the file and rows that refer to nothing; empty if all is well.

    Raises:
        DatabaseError: not ours, newer, or not to be opened.
    """
    with _reading(url) as connection:
        found = [str(line) for line in connection.scalars(text("PRAGMA integrity_check"))]
        broken = list(connection.execute(text("PRAGMA foreign_key_check")))
    problems = [line for line in found if line != "ok"]
    return problems + ([f"{len(broken)} rows refer to rows that are missing"] if broken else [])


@contextmanager
def _reading(url: str) -> Iterator[Connection]:
    engine = open_engine(url, create=False)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


_OF_STUDY = "study = :study AND dataset = :dataset AND recipe_key = :recipe_key"


def _definition(
    connection: Connection, study: str, dataset: str | None, recipe_key: str
) -> dict[str, Any]:
    table = schema.studies
    rows = connection.execute(
        select(table).where(table.c.study == study).order_by(table.c.updated_at.desc())
    ).all()
    for row in rows:
        if row.recipe_key == recipe_key and dataset in (None, row.dataset):
            return dict(row.definition)
    there = "; ".join(f"{r.dataset}, {_recipe_in_short(r.definition['recipe'])}" for r in rows)
    raise DatabaseError(
        f"the database has no runs of study {study!r}"
        + (f" on {dataset!r}" if dataset else "")
        + " with this recipe; it has: "
        + (f"{there} (use the --data and --set that they were run with)" if there else "none of it")
    )


def _recipe_in_short(recipe: Mapping[str, Any]) -> str:
    return f"{recipe['epochs']} epochs, batch {recipe['batch_size']}, split {recipe['split']}"


def _frame(connection: Connection, query: str, values: Mapping[str, Any]) -> pd.DataFrame:
    return pd.read_sql_query(text(query), connection, params=dict(values))


def _of_runs(view: str, order: str) -> str:
    keys = f"SELECT run_key FROM cells WHERE {_OF_STUDY}"
    return f"SELECT * FROM {view} WHERE run_key IN ({keys}) ORDER BY {order}"


def _of_fingerprints(connection: Connection, view: str, runs: pd.DataFrame) -> pd.DataFrame:
    keys = json.dumps(sorted(set(runs["fingerprint"])))
    query = f"SELECT * FROM {view} WHERE fingerprint IN (SELECT value FROM json_each(:keys))"
    return _frame(connection, query, {"keys": keys})


def _costs(connection: Connection, runs: pd.DataFrame) -> pd.DataFrame:
    """The costs of the study's networks, under this study's names for them."""
    costs = _of_fingerprints(connection, "v_costs", runs).drop(columns="variant").drop_duplicates()
    names = runs[["fingerprint", "variant"]].drop_duplicates()
    return names.merge(costs, on="fingerprint", how="inner")


def _layers(connection: Connection, runs: pd.DataFrame) -> pd.DataFrame:
    table = schema.architectures
    columns = ["variant", "path", "kind", "parameter", "count", "attention"]
    names = dict(zip(runs["fingerprint"], runs["variant"], strict=True))
    rows = [
        {"variant": names[row.fingerprint], **layer}
        for row in connection.execute(select(table.c.fingerprint, table.c.layers))
        if row.fingerprint in names
        for layer in row.layers
    ]
    return pd.DataFrame(rows, columns=columns)


def _environments(connection: Connection, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    table = schema.environments
    used = text(
        "SELECT DISTINCT environment_id FROM runs WHERE environment_id IS NOT NULL "
        f"AND run_key IN (SELECT run_key FROM cells WHERE {_OF_STUDY})"
    )
    ids = list(connection.scalars(used, dict(values)))
    rows = connection.execute(
        select(table.c.content).where(table.c.environment_id.in_(ids)).order_by(table.c.environment_id)
    )
    return [dict(row.content) for row in rows]
