"""The runs of a file beside those that a study from elsewhere has already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Connection, delete, func, insert, select, update

from ablate.elsewhere.values import GivenResults, GivenRun
from ablate.errors import DataError
from ablate.result import RunStatus
from ablate.result.elsewhere import ELSEWHERE, SETTING, network_key, run_key_of
from ablate.result.metrics import Score
from ablate.result.predictions import renumber_classes, renumber_labels
from ablate.store import schema
from ablate.store.elsewhere.compared import compared
from ablate.store.statements import add_missing, chunks, put, storable
from ablate.store.writing.outcomes import WHOLE, add_scores
from ablate.store.writing.rows import add_environment
from ablate.system.process.clock import now

if TYPE_CHECKING:
    from ablate.store.elsewhere.importing import Asked

FAILURE = "elsewhere"
"""The kind of a failure of which only words are known."""
SIZES = ("parameters", "macs")


@dataclass(frozen=True, slots=True)
class Place:
    """A study from elsewhere: its name, what stands for the hash of its images, and what these are called."""

    study: str
    images: str
    dataset: str
    trainer: str


@dataclass(frozen=True, slots=True)
class Changes:
    """How many runs of a file are new, took the place of others, completed them or were there as they are."""

    added: int = 0
    replaced: int = 0
    completed: int = 0
    same: int = 0
    sizes: int = 0

    @property
    def written(self) -> bool:
        """Whether anything was."""
        return bool(self.added or self.replaced or self.completed or self.sizes)


def put_runs(
    connection: Connection,
    place: Place,
    results: GivenResults,
    told: Mapping[str, Any],
    asked: Asked,
) -> Changes:
    """Write the runs of a file that are new or say more than those that are there.

    Raises:
        DataError: a run, a network or the images are others than those that are there.
    """
    runs = _on_images(connection, place, results, told, asked)
    there = _there(connection, place)
    work = compared(runs, there, asked.file, replaces=asked.replace)
    sizes = _put_networks(connection, place, runs, asked)
    if not (work.added or work.replaced or work.completed):
        return Changes(same=work.same, sizes=sizes)
    environment = add_environment(connection, _environment(place, asked))
    _add(connection, place, work.added, environment)
    for run in (*work.replaced, *work.completed):
        _change(connection, place, run, environment)
    return Changes(len(work.added), len(work.replaced), len(work.completed), work.same, sizes)


def _environment(place: Place, asked: Asked) -> dict[str, Any]:
    """Where the numbers are from, as far as it is known."""
    by = {"trained_by": place.trainer} if place.trainer else {}
    return {"trained": ELSEWHERE, **by, "file": storable(asked.file), "file_sha256": asked.sha256}


def _on_images(
    connection: Connection,
    place: Place,
    results: GivenResults,
    told: Mapping[str, Any],
    asked: Asked,
) -> tuple[GivenRun, ...]:
    """The runs with their classes numbered as the study does, whose images these must be."""
    if results.images is None:
        return results.runs
    if told.get("images") not in (None, results.images.names):
        raise DataError(
            f"{asked.file}: its images or their labels are others than those of study {place.study}: give "
            "runs on other images a study of their own"
        )
    sets = schema.test_sets
    there = connection.execute(select(sets).where(sets.c.dataset_hash == place.images)).first()
    stored = tuple(there.classes or ()) if there is not None else ()
    classes = (*stored, *(name for name in results.images.classes if name not in stored))
    numbers = np.array([classes.index(name) for name in results.images.classes])
    row = {
        "dataset_hash": place.images,
        "images": results.images.count,
        "labels": renumber_labels(results.images.labels, numbers),
        "classes": [storable(name) for name in classes],
    }
    put(connection, sets, [row])
    return tuple(_renumbered(run, numbers) for run in results.runs)


def _renumbered(run: GivenRun, numbers: Any) -> GivenRun:
    if run.predictions is None or np.array_equal(numbers, np.arange(len(numbers))):
        return run
    return replace(run, predictions=renumber_classes(run.predictions, numbers))


def _there(connection: Connection, place: Place) -> dict[tuple[str, int], GivenRun]:
    """The runs of the study as a file would say them."""
    cells, runs = schema.cells, schema.runs
    query = (
        select(cells.c.variant, runs)
        .join(runs, runs.c.run_key == cells.c.run_key)
        .where(cells.c.study == place.study, cells.c.dataset_hash == place.images)
    )
    rows = connection.execute(query).all()
    scores = _scores(connection, [row.run_key for row in rows])
    return {(row.variant, row.seed): _as_given(row, scores.get(row.run_key, ())) for row in rows}


def _scores(connection: Connection, keys: Sequence[str]) -> dict[str, tuple[Score, ...]]:
    table, found = schema.metrics, dict[str, list[Score]]()
    for chunk in chunks(keys):
        for row in connection.execute(select(table).where(table.c.run_key.in_(chunk))):
            named = None if row.class_name == WHOLE else row.class_name
            found.setdefault(row.run_key, []).append(Score(row.split, row.metric, row.value, named))
    return {key: tuple(each) for key, each in found.items()}


def _as_given(row: Any, scores: tuple[Score, ...]) -> GivenRun:
    return GivenRun(
        variant=row.variant,
        seed=row.seed,
        row=0,
        test_accuracy=row.test_accuracy,
        val_accuracy=row.val_accuracy,
        failure=row.error if row.status is RunStatus.FAILED else None,
        epochs=row.recipe.get("epochs"),
        seconds=row.seconds,
        scores=scores,
        correct=row.test_correct,
        predictions=row.test_predictions,
    )


def _put_networks(
    connection: Connection, place: Place, runs: Sequence[GivenRun], asked: Asked
) -> int:
    """One for each variant, with the sizes that are known; returns how many were not known before."""
    table, changed = schema.architectures, 0
    by_variant: dict[str, list[GivenRun]] = {}
    for run in runs:
        by_variant.setdefault(run.variant, []).append(run)
    for variant, mine in by_variant.items():
        given = {name: next(_known(mine, name), None) for name in SIZES}
        key = network_key(place.images, variant)
        row = {"fingerprint": key, "backbone": "", "uncounted": [], "layers": []}
        there = connection.execute(select(table).where(table.c.fingerprint == key)).first()
        if there is None:
            add_missing(connection, table, [{**row, **given, "attention_parameters": None}])
            continue
        for name, value in given.items():
            ours = getattr(there, name)
            if None not in (ours, value) and ours != value and not asked.replace:
                raise DataError(
                    f"{asked.file}: row {mine[0].row}: variant {variant}: {name} is {value:,} here and "
                    f"{ours:,} in the database: mend the file, or say --replace if it is right"
                )
        new = {k: v for k, v in given.items() if v is not None and v != getattr(there, k)}
        if new:
            connection.execute(update(table).where(table.c.fingerprint == key).values(**new))
            changed += 1
    return changed


def _known(runs: Sequence[GivenRun], name: str) -> Iterator[int]:
    return (value for run in runs if (value := getattr(run, name)) is not None)


def _add(connection: Connection, place: Place, runs: Sequence[GivenRun], environment: str) -> None:
    """New runs, behind those of their study."""
    if not runs:
        return
    cells = schema.cells
    mine = cells.c.study == place.study, cells.c.dataset_hash == place.images
    last = connection.scalar(select(func.max(cells.c.ordinal)).where(*mine))
    first = 0 if last is None else last + 1
    for chunk in chunks(runs):
        connection.execute(
            insert(schema.runs), [_run_row(place, run, environment) for run in chunk]
        )
    for chunk in chunks(list(enumerate(runs, first))):
        connection.execute(insert(cells), [_cell_row(place, i, run) for i, run in chunk])
    for run in runs:
        add_scores(connection, _key(place, run), _storable(run.scores))


def _change(connection: Connection, place: Place, run: GivenRun, environment: str) -> None:
    key, runs, metrics = _key(place, run), schema.runs, schema.metrics
    row = _run_row(place, run, environment)
    connection.execute(update(runs).where(runs.c.run_key == key).values(**row))
    connection.execute(delete(metrics).where(metrics.c.run_key == key))
    add_scores(connection, key, _storable(run.scores))


def _storable(scores: Sequence[Score]) -> list[Score]:
    return [replace(score, class_name=storable(score.class_name)) for score in scores]


def _key(place: Place, run: GivenRun) -> str:
    return run_key_of(place.images, run.variant, run.seed)


def _run_row(place: Place, run: GivenRun, environment: str) -> dict[str, Any]:
    epochs = {} if run.epochs is None else {"epochs": run.epochs}
    return {
        "run_key": _key(place, run),
        "fingerprint": network_key(place.images, run.variant),
        "dataset_hash": place.images,
        "recipe": {ELSEWHERE: place.trainer, **epochs},
        "seed": run.seed,
        "status": RunStatus.FINISHED if run.failure is None else RunStatus.FAILED,
        "failure": None if run.failure is None else FAILURE,
        "error": storable(run.failure),
        "attempts": 0,
        "heartbeat": 0,
        "val_accuracy": run.val_accuracy,
        "test_accuracy": run.test_accuracy,
        "test_correct": run.correct,
        "test_predictions": run.predictions,
        "seconds": run.seconds,
        "environment_id": environment,
        "finished_at": now(),
    }


def _cell_row(place: Place, ordinal: int, run: GivenRun) -> dict[str, Any]:
    return {
        "study": place.study,
        "run_key": _key(place, run),
        "dataset": place.dataset,
        "setting": SETTING,
        "ordinal": ordinal,
        "dataset_hash": place.images,
        "variant": storable(run.variant),
        "attention": "",
        "options": {},
    }
