"""Which runs a merge takes, and how they are put beside those that are there already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, select, update

from ablate.errors import DatabaseError
from ablate.result import RunStatus
from ablate.store import schema
from ablate.store.statements import add_missing, chunks
from ablate.store.transfer.values import check_identifiers
from ablate.system.messages.text import seed_and_fold
from ablate.system.process.clock import now

RANK = {RunStatus.FINISHED: 2, RunStatus.PLANNED: 0}
"""A run replaces one that has come less far; stopped, failed and running are 1."""
RESULT = ("val_accuracy", "test_accuracy", "test_loss", "test_correct")
"""The numbers of a result: that two trainings took different times is no conflict."""
PREDICTIONS = "test_predictions"
"""Part of a result that may be missing: then the other's completes it, and that is no conflict either."""
RUNS_AT_ONCE = 100
REPLACED = "a finished result of another database took its place"


@dataclass
class Selection:
    """What a merge takes: new runs, runs that replace unfinished ones, predictions of runs whose
    same result has none here, and by the names of their files the hashes of their weights."""

    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    completed: dict[str, bytes] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)
    weights: dict[str, str] = field(default_factory=dict)


def check(table: Table, row: Mapping[str, Any]) -> None:
    """Refuse keys that ablate does not make: files are named after them.

    Raises:
        DatabaseError: names table and key.
    """
    try:
        check_identifiers(row)
    except ValueError as error:
        raise DatabaseError(f"the table {table.name}: {error}: not made by ablate") from None


def choose(source: Connection, target: Connection) -> Selection:
    """Compare the runs of two databases.

    Raises:
        DatabaseError: a run has a key that ablate does not make.
    """
    runs, selection = schema.runs, Selection()
    columns = [runs.c[name] for name in ("run_key", "status", *RESULT)]
    here = {row.run_key: row for row in target.execute(select(*columns))}
    for theirs in source.execute(
        select(*columns, runs.c.weights_file, runs.c.weights_sha256).order_by(runs.c.run_key)
    ):
        check(runs, {"run_key": theirs.run_key})
        ours = here.get(theirs.run_key)
        if ours is None:
            selection.added.append(theirs.run_key)
        elif RANK.get(theirs.status, 1) > RANK.get(ours.status, 1):
            selection.replaced.append(theirs.run_key)
        else:
            both = _predictions(target, ours), _predictions(source, theirs)
            if _conflict(ours, theirs) or (None not in both and both[0] != both[1]):
                selection.conflicts.append(_in_words(target, ours, theirs))
            elif both[0] is None and both[1] is not None:
                selection.completed[theirs.run_key] = both[1]
            continue
        if theirs.weights_file is not None:
            selection.weights[theirs.weights_file] = theirs.weights_sha256
    return selection


def _conflict(ours: Any, theirs: Any) -> bool:
    both = ours.status == theirs.status == RunStatus.FINISHED
    return both and any(getattr(ours, name) != getattr(theirs, name) for name in RESULT)


def _predictions(connection: Connection, run: Any) -> bytes | None:
    """One run's at a time: all of them may be gigabytes."""
    runs = schema.runs
    if run.status != RunStatus.FINISHED:
        return None
    mine = runs.c.run_key == run.run_key
    return connection.scalar(select(runs.c[PREDICTIONS]).where(mine))


def _in_words(target: Connection, ours: Any, theirs: Any) -> str:
    cells, runs = schema.cells, schema.runs
    query = select(cells.c.study, cells.c.variant, runs.c.seed, runs.c.fold).join(runs)
    found = target.execute(query.where(runs.c.run_key == ours.run_key)).first()
    which = seed_and_fold(found.seed, found.fold) if found else ""
    name = f"{found.study}, {found.variant}, {which}" if found else "a run of no study"
    return (
        f"{name} ({ours.run_key}): test accuracy {ours.test_accuracy!r} and "
        f"{theirs.test_accuracy!r}, loss {ours.test_loss!r} and {theirs.test_loss!r}; "
        "the first is kept"
    )


def take(source: Connection, target: Connection, selection: Selection) -> None:
    """Copy the chosen runs with everything that belongs to them alone."""
    runs, attempts = schema.runs, schema.attempts
    for keys in chunks(selection.replaced, RUNS_AT_ONCE):
        _clear(target, keys)
    for keys in chunks(sorted({*selection.added, *selection.replaced}), RUNS_AT_ONCE):
        new = set(selection.added)
        for row in _rows(source, runs, keys):
            if row["run_key"] in new:
                target.execute(insert(runs), row)
            else:
                mine = runs.c.run_key == row["run_key"]
                target.execute(update(runs).where(mine).values(**row))
        add_missing(target, attempts, _rows(source, attempts, keys))
        for table in _tables_of_a_run():
            if rows := list(_rows(source, table, keys)):
                target.execute(insert(table), rows)
    for key, predictions in selection.completed.items():
        mine = runs.c.run_key == key
        target.execute(update(runs).where(mine).values({PREDICTIONS: predictions}))
    for keys in chunks(selection.replaced, RUNS_AT_ONCE):
        number = select(func.count()).where(attempts.c.run_key == runs.c.run_key).scalar_subquery()
        mine = runs.c.run_key.in_(keys)
        target.execute(update(runs).where(mine).values(attempts=number))


def _clear(target: Connection, keys: Sequence[str]) -> None:
    """Remove what unfinished runs stored; an attempt that is still under way has lost its claim."""
    attempts = schema.attempts
    for table in _tables_of_a_run():
        target.execute(delete(table).where(table.c.run_key.in_(keys)))
    under_way = attempts.c.run_key.in_(keys), attempts.c.finished_at.is_(None)
    ended = {"finished_at": now(), "outcome": RunStatus.STOPPED.value, "error": REPLACED}
    target.execute(update(attempts).where(*under_way).values(**ended))


def _tables_of_a_run() -> list[Table]:
    shared = (schema.runs, schema.cells, schema.attempts)
    tables = schema.metadata.sorted_tables
    return [table for table in tables if "run_key" in table.columns and table not in shared]


def _rows(source: Connection, table: Table, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
    for row in source.execute(select(table).where(table.c.run_key.in_(keys))).mappings():
        yield dict(row)
