"""Results from elsewhere into the database: all of a file in one transaction, or nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, exists, func, select, update

from ablate.elsewhere.values import GivenResults
from ablate.errors import DatabaseError, OptionError, StudyError, unknown
from ablate.result.elsewhere import ELSEWHERE, SETTING, UNNAMED, images_key
from ablate.store import schema
from ablate.store.connection.engine import open_engine, shown
from ablate.store.connection.postgres import take_turns
from ablate.store.connection.transaction import transact
from ablate.store.elsewhere.runs import Changes, Place, put_runs
from ablate.store.reading.elsewhere import FromElsewhere, read_elsewhere
from ablate.store.statements import put, storable
from ablate.study.metrics import ACCURACY
from ablate.system.process.clock import now

USUAL_BASELINES = ("none", "baseline")
MOST_LISTED = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """A file that is to become a study, or to be added to one. None is what was not said: then what the
    study says already stands, else what is usual.
    """

    study: str
    file: str
    sha256: str
    trainer: str | None = None
    baseline: str | None = None
    dataset: str | None = None
    margin: float | None = None
    paired: bool | None = None
    replace: bool = False


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of it. `kept` are runs of the study that the file does not name, `before` is when the same
    file was imported, None if it is new.
    """

    changes: Changes
    kept: int
    variants: int
    baseline: str
    before: str | None


def import_results(url: str, results: GivenResults, asked: Asked) -> Imported:
    """Write all of a file, or nothing.

    Raises:
        DatabaseError: the database cannot be written, or has another study of this name.
        DataError: the file says something else than the database does, and `replace` is not set.
        StudyError: no baseline, or another trainer.
    """
    engine = open_engine(url, create=True)
    try:
        name = shown(engine.url)
        return transact(engine, lambda c: _import(c, name, results, asked), writes=True)
    finally:
        engine.dispose()


def _import(connection: Connection, name: str, results: GivenResults, asked: Asked) -> Imported:
    take_turns(connection)
    there = read_elsewhere(connection, asked.study)
    told: Mapping[str, Any] = there.definition[ELSEWHERE] if there else {}
    trainer = _trainer(told, there is not None, asked)
    if there is None:
        _refuse_others(connection, name, asked.study, images_key(asked.study, trainer))
    place = Place(
        asked.study,
        there.dataset_hash if there else images_key(asked.study, trainer),
        storable(asked.dataset) or (there.dataset if there else UNNAMED),
        trainer,
    )
    changes = put_runs(connection, place, results, told, asked)
    _place_label(connection, place)
    definition = _definition(connection, place, there, results, asked, changes)
    if there is None or dict(there.definition) != definition or there.dataset != place.dataset:
        row = {
            "study": asked.study,
            "dataset": place.dataset,
            "setting": SETTING,
            "definition": definition,
            "updated_at": now(),
            "dataset_hash": place.images,
        }
        put(connection, schema.studies, [row])
    before = [
        each["imported_at"] for each in told.get("files", ()) if each["sha256"] == asked.sha256
    ]
    return Imported(
        changes,
        _count_runs(connection, place) - len(results.runs),
        len(definition["variants"]),
        definition["baseline"],
        before[0] if before else None,
    )


def _refuse_others(connection: Connection, name: str, study: str, images: str) -> None:
    """Nothing is put beside what is trained here, nor twice under two names."""
    studies, runs, cells = schema.studies, schema.runs, schema.cells
    if connection.scalar(select(exists().where(studies.c.study == study))):
        raise DatabaseError(
            f"{name}: the runs of study {study!r} are trained here, and results from elsewhere are never put "
            "among them: give these another name with --study"
        )
    theirs = select(cells.c.study).join(runs, runs.c.run_key == cells.c.run_key)
    other = connection.scalar(theirs.where(runs.c.dataset_hash == images).limit(1))
    if other is not None:
        raise DatabaseError(
            f"{name}: what was imported as {study!r} is called {other!r} now: add to it with --study "
            f"{other}, or give another name"
        )


def _trainer(told: Mapping[str, Any], there: bool, asked: Asked) -> str:
    """Who trained the runs; all of a study were trained by the same."""
    given = storable(asked.trainer)
    known = str(told.get("trainer", ""))
    if there and given is not None and given != known:
        said = f"by {known!r}" if known else "without --trainer"
        raise StudyError(
            f"--trainer {given}: the runs of study {asked.study} were imported {said}: give what another one "
            "trained a study of its own"
        )
    return known if given is None else given


def _place_label(connection: Connection, place: Place) -> None:
    """The images are called alike in every row."""
    for table in (schema.cells, schema.studies):
        mine = table.c.study == place.study, table.c.dataset_hash == place.images
        connection.execute(update(table).where(*mine).values(dataset=place.dataset))


def _definition(
    connection: Connection,
    place: Place,
    there: FromElsewhere | None,
    results: GivenResults,
    asked: Asked,
    changes: Changes,
) -> dict[str, Any]:
    """What a report needs to know of the study; nothing in it is made up."""
    before: Mapping[str, Any] = there.definition if there else {}
    counts, epochs = _counted(connection, place)
    return {
        "question": "",
        "metric": ACCURACY,
        "controls": [],
        "aliases": {},
        "grid": [],
        "recipe": {},
        "backbone": "",
        **before,
        "name": place.study,
        "dataset": place.dataset,
        "variants": list(counts),
        "baseline": _baseline(list(counts), before, asked),
        "seeds": max(1, *counts.values()),
        "equivalence_margin": before.get("equivalence_margin")
        if asked.margin is None
        else asked.margin,
        ELSEWHERE: _told(before.get(ELSEWHERE) or {}, place, results, asked, changes, epochs),
    }


def _told(
    before: Mapping[str, Any],
    place: Place,
    results: GivenResults,
    asked: Asked,
    changes: Changes,
    epochs: Sequence[int],
) -> dict[str, Any]:
    files = list(before.get("files", ()))
    known = any(each["sha256"] == asked.sha256 for each in files)
    if changes.written and not known:
        file = {"name": storable(asked.file), "sha256": asked.sha256, "rows": results.rows}
        files.append({**file, "imported_at": now()})
    images = results.images.names if results.images is not None else before.get("images")
    paired = bool(before.get("paired")) if asked.paired is None else asked.paired
    return {
        "trainer": place.trainer,
        "paired": paired,
        "images": images,
        "epochs": list(epochs),
        "files": files,
    }


def _counted(connection: Connection, place: Place) -> tuple[dict[str, int], list[int]]:
    """How many runs each variant has, in the order of the study, and how many epochs there were."""
    cells, runs = schema.cells, schema.runs
    query = (
        select(cells.c.variant, runs.c.recipe)
        .join(runs, runs.c.run_key == cells.c.run_key)
        .where(cells.c.study == place.study, cells.c.dataset_hash == place.images)
        .order_by(cells.c.ordinal)
    )
    rows = connection.execute(query).all()
    epochs = {row.recipe["epochs"] for row in rows if row.recipe.get("epochs") is not None}
    return dict(Counter(row.variant for row in rows)), sorted(epochs)


def _baseline(names: Sequence[str], before: Mapping[str, Any], asked: Asked) -> str:
    """What every variant is compared with.

    Raises:
        UnknownNameError: no such variant.
        OptionError: nothing says which it is.
    """
    given = asked.baseline or before.get("baseline")
    if given is not None:
        if given not in names:
            raise unknown("baseline", given, names)
        return str(given)
    usual = [name for name in USUAL_BASELINES if name in names]
    if len(usual) == 1:
        return usual[0]
    listed = ", ".join(names[:MOST_LISTED]) + (", …" if len(names) > MOST_LISTED else "")
    raise OptionError(
        f"which variant is the baseline? Name it with --baseline; there are: {listed}"
    )


def _count_runs(connection: Connection, place: Place) -> int:
    cells = schema.cells
    mine = cells.c.study == place.study, cells.c.dataset_hash == place.images
    return connection.scalar(select(func.count()).where(*mine)) or 0
