"""One study's part of the views, as pandas frames: what a report is made from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
from sqlalchemy import Connection, CursorResult, select, text

from ablate.errors import DatabaseError
from ablate.result.dataset import DatasetSummary
from ablate.result.elsewhere import told_of
from ablate.result.image_results import Bits, ImageResults
from ablate.result.search import SearchResult
from ablate.stats.looks import Look
from ablate.store import schema
from ablate.store.reading.datasets import SHORT, called, nothing_of, read_dataset
from ablate.store.reading.folds import Dealt, join_images, join_metrics, join_runs
from ablate.store.reading.image_results import read_dealt, read_image_results
from ablate.store.reading.looks import read_looks
from ablate.store.reading.moment import reading_a_copy
from ablate.system.messages.text import seed_and_fold

ROWS_AT_ONCE = 50_000
_EPOCHS = (
    "run_key, epoch, train_loss, train_accuracy, val_loss, val_accuracy, test_loss, test_accuracy"
)
_STEPS = "run_key, step, batch_loss"
"""What is drawn of epochs and steps, of which there are millions."""


@dataclass(frozen=True)
class Frames:
    """One study's part of the database. Columns are those of the views (docs/database.md); of epochs and
    steps, those that are drawn.

    `study` is the study's definition, `environments` one mapping for each environment in which an
    accepted result was computed, `layers` has variant, path, kind, parameter, count, attention,
    `explanations` are the packed snapshots (`ablate.result.snapshot`) by run key, `traces` the files of
    profiles, or the reasons why there are none, `search` what a search found (`ablate.search.record`).
    `others` are the data sets that could have been meant as well, in words, `images` has what each run
    made of each test image, `looks` are the moments at which verdicts of it were shown before, `metrics`
    those of whole splits, and `data` is what its images are.

    Of a study with folds everything is of seeds, each of which is all its folds together under the key of the
    first (`ablate.store.reading.folds`); `fold_runs` are the runs themselves, empty where there are no folds.
    """

    study: Mapping[str, Any]
    runs: pd.DataFrame
    epochs: pd.DataFrame
    steps: pd.DataFrame
    costs: pd.DataFrame
    profile: pd.DataFrame
    layers: pd.DataFrame
    environments: Sequence[Mapping[str, Any]]
    explanations: Mapping[str, bytes] = field(default_factory=dict)
    traces: pd.DataFrame = field(default_factory=pd.DataFrame)
    search: SearchResult | None = None
    dataset_hash: str = ""
    others: Sequence[str] = ()
    looks: Sequence[Look] = ()
    images: ImageResults = field(default_factory=ImageResults)
    data: DatasetSummary | None = None
    metrics: pd.DataFrame = field(default_factory=pd.DataFrame)
    fold_runs: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def folds(self) -> int:
        """How many folds a seed has; 1 where a part of the images is for testing."""
        return folds_of(self.study)

    @property
    def paired(self) -> bool:
        """Whether runs of one seed share what they begin with and their batches, as far as it is said."""
        return bool(told_of(self.study).get("paired", True))

    @property
    def correct(self) -> Bits:
        """Which test images each finished run got right."""
        return self.images.correct


@dataclass(frozen=True)
class Which:
    """Which of the data sets that a study was run on: the one with this content if that is known, else the
    one of this name, else the preferred one if it is there; of several the one that was run last.
    """

    content_hash: str | None = None
    name: str | None = None
    preferred: str = ""


def read_frames(url: str, study: str, setting: str, which: Which | None = None) -> Frames:
    """What the database holds of a study under one recipe and on one dataset.

    Raises:
        DatabaseError: no such database, or nothing of that study in it; says what there is. Or a variant
            with two runs of one seed.
    """
    with reading_a_copy(url) as connection:
        found, others = _choose(connection, study, setting, which or Which())
        # Where its name is not enough, a reader of the report must see which images are meant.
        content = {"content": found.dataset_hash[:SHORT]} if others else {}
        values = {"study": study, "dataset_hash": found.dataset_hash, "setting": setting}
        runs = _frame(
            connection, f"SELECT * FROM v_runs WHERE {_OF_STUDY} ORDER BY ordinal", values
        )
        _refuse_doubles(runs, study)
        frames = Frames(
            study={**found.definition, "dataset": found.dataset, "setting": setting, **content},
            runs=runs,
            epochs=_frame(connection, _of_runs("v_epochs", "run_key, epoch", of=_EPOCHS), values),
            steps=_frame(connection, _of_runs("v_steps", "run_key, step", of=_STEPS), values),
            costs=_costs(connection, runs, values),
            profile=_of_fingerprints(connection, "v_profile", values),
            traces=_of_fingerprints(connection, "traces", values),
            layers=_layers(connection, runs),
            environments=_environments(connection, values),
            explanations=_explanations(connection, values),
            dataset_hash=found.dataset_hash,
            others=others,
            images=read_image_results(
                connection, _OF_STUDY, values, found.definition.get("image_size", 0)
            ),
            metrics=_frame(
                connection, _of_runs("v_metrics", "run_key, split, metric", "class IS NULL"), values
            ),
            looks=read_looks(connection, (study, found.dataset_hash, setting)),
            data=read_dataset(connection, found.dataset_hash, found.definition),
        )
        if frames.folds == 1:
            return frames
        return _of_seeds(frames, read_dealt(connection, _OF_STUDY, values))


def _refuse_doubles(runs: pd.DataFrame, study: str) -> None:
    """Which of two runs of one variant, seed and fold is meant, nobody can say."""
    twice = runs[runs.duplicated(["variant", "seed", "fold"], keep=False)]
    if twice.empty:
        return
    first = twice.iloc[0]
    alike = twice[(twice["variant"] == first["variant"]) & (twice["seed"] == first["seed"])]
    which = seed_and_fold(first["seed"], None if pd.isna(first["fold"]) else int(first["fold"]))
    raise DatabaseError(
        f"study {study}: {first['variant']}, {which} is there as {alike['run_key'].iloc[0]} and "
        f"{alike['run_key'].iloc[1]}, and which of them is meant nobody can say: an earlier version merged "
        "runs that began otherwise. `ablate run` of the study keeps those of its own"
    )


def folds_of(definition: Mapping[str, Any]) -> int:
    """How many folds a seed of a study has, 1 where it has none."""
    return int((definition.get("data") or {}).get("folds") or 1)


def _of_seeds(frames: Frames, tested: Mapping[str, Dealt]) -> Frames:
    """The same of seeds, whose folds are put together."""
    sizes = {run: each.images for run, each in tested.items()}
    known = frames.runs.assign(test_images=frames.runs["run_key"].map(sizes))
    seeds = join_runs(known, frames.folds)
    images = join_images(frames.images, seeds, tested)
    return replace(
        frames,
        runs=seeds.runs,
        fold_runs=frames.runs,
        epochs=seeds.means(frames.epochs, ["epoch"]),
        steps=seeds.means(frames.steps, ["step"]),
        metrics=join_metrics(frames.metrics, seeds, images, tested),
        images=images,
    )


_OF_STUDY = "study = :study AND dataset_hash = :dataset_hash AND setting = :setting"


def _choose(
    connection: Connection, study: str, setting: str, which: Which
) -> tuple[Any, tuple[str, ...]]:
    """The row of the study on the data set that is asked for, and how the others are called that could have
    been meant.
    """
    table = schema.studies
    rows = connection.execute(
        select(table).where(table.c.study == study).order_by(table.c.updated_at.desc())
    ).all()
    here = [row for row in rows if row.setting == setting]
    if which.content_hash is not None:
        meant = [row for row in here if row.dataset_hash == which.content_hash]
        others = [row for row in here if meant and row.dataset == meant[0].dataset]
    else:
        named = [row for row in here if row.dataset == (which.name or which.preferred)]
        meant = others = named if which.name or named else here
    if not meant:
        raise DatabaseError(nothing_of(study, rows, which.name, which.content_hash))
    return meant[0], tuple(each for row in others if (each := called(row)) != called(meant[0]))


def _frame(connection: Connection, query: str, values: Mapping[str, Any]) -> pd.DataFrame:
    frame = _read(connection.execute(text(query), dict(values)))
    if "options" in frame:  # PostgreSQL hands JSON over as what it means
        frame["options"] = [o if isinstance(o, str) else json.dumps(o) for o in frame["options"]]
    return frame


def _read(result: CursorResult[Any]) -> pd.DataFrame:
    """As `pandas.read_sql_query` does it, but some rows at a time: as objects, a million of them take a
    gigabyte.
    """
    columns, parts = list(result.keys()), list[pd.DataFrame]()
    while rows := result.fetchmany(ROWS_AT_ONCE):
        plain = list(map(tuple, rows))  # of SQLAlchemy's rows pandas asks more than it gets
        parts.append(pd.DataFrame.from_records(plain, columns=columns, coerce_float=True))
    if len(parts) < 2:
        return parts[0] if parts else pd.DataFrame(columns=columns, dtype=object)
    # A part in which a column is empty knows no type for it.
    return pd.concat(parts, ignore_index=True).infer_objects()


def _of_runs(view: str, order: str, condition: str = "1 = 1", of: str = "*") -> str:
    keys = f"SELECT run_key FROM cells WHERE {_OF_STUDY}"
    return f"SELECT {of} FROM {view} WHERE run_key IN ({keys}) AND {condition} ORDER BY {order}"


def _of_fingerprints(connection: Connection, view: str, values: Mapping[str, Any]) -> pd.DataFrame:
    mine = f"SELECT run_key FROM cells WHERE {_OF_STUDY}"
    nets = f"SELECT fingerprint FROM runs WHERE run_key IN ({mine})"
    query = f"SELECT * FROM {view} WHERE fingerprint IN ({nets}) ORDER BY fingerprint, device"
    return _frame(connection, query, values)


def _costs(connection: Connection, runs: pd.DataFrame, values: Mapping[str, Any]) -> pd.DataFrame:
    """The costs of the study's networks, under this study's names for them."""
    costs = _of_fingerprints(connection, "v_costs", values).drop(columns="variant")
    costs = costs.drop_duplicates()
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


def _explanations(connection: Connection, values: Mapping[str, Any]) -> dict[str, bytes]:
    table = schema.explanations
    mine = text(f"run_key IN (SELECT run_key FROM cells WHERE {_OF_STUDY})")
    rows = connection.execute(select(table).where(mine), dict(values))
    return {row.run_key: row.content for row in rows}


def _environments(connection: Connection, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    table = schema.environments
    used = text(
        "SELECT DISTINCT environment_id FROM runs WHERE status = 'finished' "
        f"AND environment_id IS NOT NULL AND run_key IN (SELECT run_key FROM cells WHERE {_OF_STUDY})"
    )
    ids = list(connection.scalars(used, dict(values)))
    rows = connection.execute(
        select(table.c.content)
        .where(table.c.environment_id.in_(ids))
        .order_by(table.c.environment_id)
    )
    return [dict(row.content) for row in rows]
