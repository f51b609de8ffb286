"""Reading the database without changing it. No pandas here, and no torch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Text, cast, func, select

from ablate.result import RunStatus
from ablate.store import schema
from ablate.store.connect import clear_errors, database_exists, open_engine, shown
from ablate.store.contents import problem_in
from ablate.store.rows import chunks
from ablate.store.statements import BETWEEN, by_status, status_query
from ablate.study.data import DATA_PROTOCOL
from ablate.study.keys import by_difference

if TYPE_CHECKING:
    from ablate.study import Study


AT_ONCE = 10_000
"""How many keys go into one question, as one parameter."""


def stored_statuses(url: str, run_keys: Sequence[str]) -> dict[str, RunStatus]:
    """The status of runs that a database knows; nothing is known where there is no database.

    Raises:
        DatabaseError: there is one, but it is not ours or newer.
    """
    if not database_exists(url):
        return {}
    with reading(url) as connection:
        return read_statuses(connection, run_keys)


def stored_of_study(
    url: str, study: Study, content: str, run_keys: Sequence[str]
) -> tuple[dict[str, RunStatus], Counter[RunStatus]]:
    """The status of those of these runs that a database knows, of whichever study, and how many runs this
    one has beside them, by status: those that its search has asked for, or that were added until a verdict.

    Raises:
        DatabaseError: there is one, but it is not ours or newer.
    """
    if not database_exists(url):
        return {}, Counter()
    cells, runs, asked = schema.cells, schema.runs, set(run_keys)
    query = by_status(runs).join(cells, cells.c.run_key == runs.c.run_key)
    mine = (cells.c.study == study.name, cells.c.dataset_hash == content)
    with reading(url) as connection:
        rows = connection.execute(query.where(*mine, cells.c.setting == study.setting))
        known = _taken_apart(rows)
        others = [key for key in run_keys if key not in known]
        found = read_statuses(connection, others) if others else {}
    found |= {key: known[key] for key in run_keys if key in known}
    return found, Counter(status for key, status in known.items() if key not in asked)


SPEED_KEYS = ("batch_size", "augment", "precision", "split", "data.train_images")
"""What of a run's conditions decides how long an epoch takes."""


def stored_speed(
    url: str, device: str, dataset_hash: str, conditions: Mapping[str, Any]
) -> dict[str, float]:
    """Seconds for one epoch of each network (by fingerprint), from runs that this device finished
    under conditions of the same cost.
    """
    if not database_exists(url):
        return {}
    runs, epochs = schema.runs, schema.epochs
    count = select(func.count()).where(epochs.c.run_key == runs.c.run_key).scalar_subquery()
    # A network has thousands of runs, and few recipes: the database adds up what is alike, by their text.
    recipe = cast(runs.c.recipe, Text).label("recipe")
    alike = runs.c.fingerprint, recipe
    each = runs.c.seconds / func.nullif(count, 0)
    query = select(*alike, func.sum(each), func.count(each)).group_by(*alike).order_by(*alike)
    mine = (runs.c.device == device, runs.c.dataset_hash == dataset_hash)
    seconds, runs_of = Counter[str](), Counter[str]()
    with reading(url) as connection:
        rows = connection.execute(query.where(runs.c.status == RunStatus.FINISHED, *mine)).all()
    for fingerprint, text, sum_of, number in rows:
        known = json.loads(text)
        if number and all(known.get(key) == conditions.get(key) for key in SPEED_KEYS):
            seconds[fingerprint] += sum_of
            runs_of[fingerprint] += number
    return {fingerprint: seconds[fingerprint] / n for fingerprint, n in runs_of.items()}


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


def stored_settings(url: str, study: str) -> list[str]:
    """Under what a study was run, in short and one for each; none where there is no database.

    Raises:
        DatabaseError: there is one, but it is not ours or newer.
    """
    if not database_exists(url):
        return []
    table = schema.studies
    with reading(url) as connection:
        rows = connection.execute(select(table).where(table.c.study == study))
        return [
            f"{row.dataset} (content {row.dataset_hash[:8]}), {in_short(row.definition)}"
            for row in rows
        ]


def in_short(definition: Mapping[str, Any]) -> str:
    """What tells the settings of a study apart."""
    recipe, size = definition["recipe"], definition["image_size"]
    data = by_difference(definition.get("data") or {}, DATA_PROTOCOL)
    return (
        f"{definition['backbone']}, {size}×{size}, epochs={recipe['epochs']}, "
        f"batch_size={recipe['batch_size']}, learning_rate={recipe['learning_rate']:g}, "
        f"split={recipe['split']}"
        + "".join(f", {key}={value}" for key, value in data.items())
        + (f", weights={definition['weights']}" if definition.get("weights") else "")
    )


def check_integrity(url: str) -> list[str]:
    """What is wrong with the file and its rows: the first thing that is found; empty if all is well.

    A PostgreSQL server sees to both by itself.

    Raises:
        DatabaseError: not ours, newer, or not to be opened.
    """
    with reading(url) as connection:
        if connection.dialect.name != "sqlite":
            return []
    problem = problem_in(Path(shown(url)))
    return [] if problem is None else [problem]


def read_statuses(connection: Connection, run_keys: Sequence[str]) -> dict[str, RunStatus]:
    """The status of those of these runs that the database knows."""
    query, found = status_query(connection.dialect.name), dict[str, RunStatus]()
    for chunk in chunks(run_keys, AT_ONCE):
        found |= _taken_apart(connection.execute(query, {"keys": chunk}))
    return found


def _taken_apart(rows: Iterable[Any]) -> dict[str, RunStatus]:
    """Key → status, of what `by_status` gave."""
    return {key: status for status, keys in rows for key in keys.split(BETWEEN)}


@contextmanager
def reading(url: str) -> Iterator[Connection]:
    """A connection to read from, for as long as the context lasts.

    Raises:
        DatabaseError: missing, not ours, newer, or not to be opened.
    """
    engine = open_engine(url, create=False)
    try:
        with clear_errors(shown(engine.url), "read"), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
