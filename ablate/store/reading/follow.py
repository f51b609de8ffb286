"""What TensorBoard shows of a database that is being written: what is there, and what is new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from ablate.errors import DatabaseError
from ablate.result import RunStatus
from ablate.store import schema
from ablate.store.connection.engine import reading
from ablate.store.reading.datasets import nothing_of


@dataclass(frozen=True)
class FollowedRun:
    """A run of a study as far as it has come. `layers`, `recipe` and `options` are as they are stored."""

    study: str
    dataset: str
    setting: str
    variant: str
    attention: str
    position: str | None
    options: Mapping[str, Any]
    run_key: str
    seed: int
    status: RunStatus
    recipe: Mapping[str, Any]
    started_at: str | None
    fingerprint: str
    backbone: str
    layers: Sequence[Mapping[str, Any]]
    image_size: int
    epochs: int
    dataset_hash: str
    identity: str | None
    fold: int | None


def followed_content(
    url: str, study: str, setting: str, content_hash: str | None = None, name: str | None = None
) -> str | None:
    """The hash of the images of a study that are meant, by content or else by name; None for all of them.

    Raises:
        DatabaseError: the study was not run under this setting, or not on those images; says how it was.
    """
    table = schema.studies
    query = select(table).where(table.c.study == study).order_by(table.c.updated_at.desc())
    with reading(url) as connection:
        rows = connection.execute(query).all()
    here = [row for row in rows if row.setting == setting]
    if content_hash is not None:
        meant = [row for row in here if row.dataset_hash == content_hash]
    else:
        meant = [row for row in here if name in (None, row.dataset)]
    if not meant:
        raise DatabaseError(nothing_of(study, rows, name, content_hash))
    return None if content_hash is None and name is None else str(meant[0].dataset_hash)


def followed_runs(
    url: str, study: str | None = None, setting: str | None = None, content: str | None = None
) -> list[FollowedRun]:
    """Every run that has an epoch, in the order of the studies; of one study, setting and data set if named.

    Raises:
        DatabaseError: there is no database, or it cannot be read.
    """
    runs, cells, nets, studies = schema.runs, schema.cells, schema.architectures, schema.studies
    count = (
        select(func.count()).where(schema.epochs.c.run_key == runs.c.run_key).scalar_subquery()
    ).label("epochs")
    together = (
        (studies.c.study == cells.c.study)
        & (studies.c.dataset_hash == cells.c.dataset_hash)
        & (studies.c.setting == cells.c.setting)
    )
    query = (
        select(cells, runs, nets.c.backbone, nets.c.layers, studies.c.definition, count)
        .join(runs, runs.c.run_key == cells.c.run_key)
        .join(nets, nets.c.fingerprint == runs.c.fingerprint)
        .join(studies, together)
        .order_by(*(cells.c[n] for n in ("study", "dataset", "dataset_hash", "setting", "ordinal")))
        .where(count > 0)
    )
    if study is not None:
        query = query.where(cells.c.study == study, cells.c.setting == setting)
    if content is not None:
        query = query.where(cells.c.dataset_hash == content)
    with reading(url) as connection:
        return [_followed(dict(row)) for row in connection.execute(query).mappings()]


def _followed(row: Mapping[str, Any]) -> FollowedRun:
    given = row["definition"]
    study = {"image_size": given["image_size"], "identity": given.get("identity")}
    names = FollowedRun.__dataclass_fields__.keys() - study.keys()
    return FollowedRun(**study, **{name: row[name] for name in names})


Rows = list[Mapping[str, Any]]


def history_of(url: str, run_key: str) -> tuple[Rows, Rows]:
    """The epochs and the stored steps of a run at one moment, in order: as in `v_epochs`, `v_steps`.

    The database is let go before this returns, so whoever trains never waits for a reader's files.
    """
    epochs, steps = schema.epochs, schema.steps
    with reading(url) as connection:
        found = select(epochs).where(epochs.c.run_key == run_key).order_by(epochs.c.epoch)
        logged = select(steps).where(steps.c.run_key == run_key).order_by(steps.c.step)
        return (
            [dict(row) for row in connection.execute(found).mappings()],
            [dict(row) for row in connection.execute(logged).mappings()],
        )


def explanation_of(url: str, run_key: str) -> bytes | None:
    """The packed snapshot of a run (`ablate.result.snapshot`), None where none was kept."""
    table = schema.explanations
    with reading(url) as connection:
        content: bytes | None = connection.scalar(
            select(table.c.content).where(table.c.run_key == run_key)
        )
    return content
