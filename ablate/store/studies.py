"""Looking after whole studies: what each holds, another name for one, and taking one away.

A run belongs to every study that names it. So only those go with a study that no other one names, and with
them what belongs to nobody then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, delete, exists, func, select, union, update

from ablate.errors import DatabaseError, nearest
from ablate.result import RunStatus
from ablate.store import schema
from ablate.store.connect import open_engine, shown
from ablate.store.read import reading
from ablate.store.rows import chunks
from ablate.store.transaction import transact
from ablate.system.process.owner import Owner

NAMED = (schema.studies, schema.cells, schema.trials, schema.looks)
"""The tables whose rows are a study's own, by its name."""

Returned = TypeVar("Returned")


@dataclass(frozen=True)
class Holding:
    """What a database holds of a study; `alone` are the runs that no other study names."""

    study: str
    datasets: tuple[str, ...]
    settings: int
    runs: int
    finished: int
    alone: int
    updated_at: str


@dataclass(frozen=True)
class Removal:
    """What goes with a study, or has gone: runs that no other study names, networks, and the names of their
    files beside the database. `shared` are the runs that stay, as others name them.
    """

    study: str
    runs: tuple[str, ...]
    finished: int
    shared: int
    fingerprints: tuple[str, ...]
    weights: tuple[str, ...]
    checkpoints: tuple[str, ...]
    traces: tuple[str, ...]


def list_studies(url: str) -> list[Holding]:
    """Every study, the one that was begun last at the end.

    Raises:
        DatabaseError: there is no database, or it cannot be read.
    """
    table = schema.studies
    with reading(url) as connection:
        found: dict[str, list[Any]] = {}
        for row in connection.execute(select(table).order_by(table.c.updated_at)):
            found.setdefault(row.study, []).append(row)
        held = [_holding(connection, name, rows) for name, rows in found.items()]
    return sorted(held, key=lambda each: each.updated_at)


def what_goes(url: str, study: str) -> Removal:
    """What `delete_study` would take away.

    Raises:
        DatabaseError: no such study, runs of it are being trained, or it cannot be read.
    """
    with reading(url) as connection:
        _refuse_busy(connection, study, shown(url))
        return _removal(connection, study)


def delete_study(url: str, study: str) -> Removal:
    """Take a study out of a database in one transaction; files stay for whoever calls.

    Raises:
        DatabaseError: as `what_goes`; nothing was changed.
    """
    gone: list[Removal] = []

    def remove(connection: Connection) -> Removal:
        # Called again after a commit whose end nobody knew, it may find nothing left to do.
        if gone and study not in _names(connection):
            return gone[0]
        _refuse_busy(connection, study, shown(url))
        gone[:] = [_removal(connection, study)]
        _remove(connection, gone[0])
        return gone[0]

    return _written(url, remove)


def rename_study(url: str, old: str, new: str) -> int:
    """Give a study another name; returns how many runs it has.

    Raises:
        DatabaseError: no such study, one of the other name, runs of it are being trained, or the database
            cannot be written; nothing was changed.
    """

    tried = False

    def rename(connection: Connection) -> int:
        nonlocal tried
        again, tried = tried, True
        there = _names(connection)
        if not again or old in there:  # else it has taken place, in a commit whose end nobody knew
            _refuse_busy(connection, old, shown(url))
            if new in there:
                raise DatabaseError(
                    f"{shown(url)}: has a study {new!r} already: choose another name, or delete it first"
                )
            _rename(connection, old, new)
        return len(_runs_of(connection, new))

    return _written(url, rename)


def _written(url: str, do: Callable[[Connection], Returned]) -> Returned:
    engine = open_engine(url, create=False)
    try:
        return transact(engine, do, writes=True)
    finally:
        engine.dispose()


def _names(connection: Connection) -> set[str]:
    return set(connection.scalars(union(*(select(table.c.study) for table in NAMED))))


def _refuse_busy(connection: Connection, study: str, name: str) -> None:
    known = sorted(_names(connection))
    if study not in known:
        raise DatabaseError(
            f"{name}: has no study {study!r}{nearest(study, known)}; there are: "
            f"{', '.join(known) or '(none)'}"
        )
    runs, cells = schema.runs, schema.cells
    owner = (runs.c.owner_host, runs.c.owner_pid, runs.c.owner_started)
    mine = select(*owner).join(cells, cells.c.run_key == runs.c.run_key)
    busy = mine.where(cells.c.study == study, runs.c.status == RunStatus.RUNNING)
    for host, pid, started in connection.execute(busy):
        if not Owner(host, pid, started).is_gone():
            raise DatabaseError(
                f"{name}: runs of study {study!r} are being trained by process {pid} on "
                f"{str(host).partition('/')[0]}: end it first; where that machine is gone, `ablate run` "
                "takes them over"
            )


def _runs_of(connection: Connection, study: str) -> list[str]:
    cells = schema.cells
    return sorted(connection.scalars(select(cells.c.run_key).where(cells.c.study == study)))


def _alone(connection: Connection, study: str) -> list[str]:
    """The runs that no other study names."""
    cells, others = schema.cells, schema.cells.alias()
    elsewhere = exists().where(others.c.run_key == cells.c.run_key, others.c.study != study)
    query = select(cells.c.run_key).where(cells.c.study == study, ~elsewhere)
    return sorted(connection.scalars(query))


def _holding(connection: Connection, study: str, rows: Sequence[Any]) -> Holding:
    runs, cells = schema.runs, schema.cells
    finished = (
        select(func.count())
        .join_from(cells, runs, cells.c.run_key == runs.c.run_key)
        .where(cells.c.study == study, runs.c.status == RunStatus.FINISHED)
    )
    return Holding(
        study,
        tuple(dict.fromkeys(row.dataset for row in rows)),
        len({row.setting for row in rows}),
        len(_runs_of(connection, study)),
        connection.scalar(finished) or 0,
        len(_alone(connection, study)),
        max(row.updated_at for row in rows),
    )


def _removal(connection: Connection, study: str) -> Removal:
    runs, traces = schema.runs, schema.traces
    gone = _alone(connection, study)
    rows = [
        row
        for keys in chunks(gone)
        for row in connection.execute(
            select(runs.c.fingerprint, runs.c.status, runs.c.weights_file).where(
                runs.c.run_key.in_(keys)
            )
        )
    ]
    networks = _unused_networks(connection, study, {row.fingerprint for row in rows}, gone)
    shown_by = _column(connection, traces, "file", "fingerprint", networks)
    return Removal(
        study,
        tuple(gone),
        sum(row.status is RunStatus.FINISHED for row in rows),
        len(_runs_of(connection, study)) - len(gone),
        tuple(networks),
        tuple(sorted(row.weights_file for row in rows if row.weights_file)),
        tuple(_column(connection, schema.checkpoints, "file", "run_key", gone)),
        tuple(shown_by),
    )


def _unused_networks(
    connection: Connection, study: str, candidates: set[str], gone: Sequence[str]
) -> list[str]:
    """Those that no run is left of, nor a trial of another study: of these runs' and this study's trials'."""
    runs, trials = schema.runs, schema.trials
    mine = select(trials.c.fingerprint).where(trials.c.study == study)
    candidates = candidates | set(connection.scalars(mine))
    others = set(
        connection.scalars(select(trials.c.fingerprint).where(trials.c.study != study).distinct())
    )
    lost, used = set(gone), set[str]()
    for chunk in chunks(sorted(candidates - others)):
        query = select(runs.c.run_key, runs.c.fingerprint).where(runs.c.fingerprint.in_(chunk))
        used |= {row.fingerprint for row in connection.execute(query) if row.run_key not in lost}
    return sorted(candidates - others - used)


def _column(
    connection: Connection, table: Table, column: str, key: str, values: Sequence[str]
) -> list[str]:
    query = select(table.c[column]).where(table.c[column].is_not(None))
    found = (
        connection.scalars(query.where(table.c[key].in_(chunk))).all() for chunk in chunks(values)
    )
    return sorted(value for chunk in found for value in chunk)


def _remove(connection: Connection, removal: Removal) -> None:
    """Rows that refer to others go before those."""
    tables = list(reversed(schema.metadata.sorted_tables))
    for table in NAMED:
        connection.execute(delete(table).where(table.c.study == removal.study))
    for column, values in (("run_key", removal.runs), ("fingerprint", removal.fingerprints)):
        for table in (each for each in tables if column in each.columns):
            for chunk in chunks(values):
                connection.execute(delete(table).where(table.c[column].in_(chunk)))
    _forget_unused(connection)


def _forget_unused(connection: Connection) -> None:
    """Environments and test images that no result is of any more."""
    runs, costs, environments = schema.runs, schema.costs, schema.environments
    for table in (schema.test_sets, schema.test_pictures):
        used = exists().where(runs.c.dataset_hash == table.c.dataset_hash)
        connection.execute(delete(table).where(~used))
    ran = exists().where(runs.c.environment_id == environments.c.environment_id)
    measured = exists().where(costs.c.environment_id == environments.c.environment_id)
    connection.execute(delete(environments).where(~ran, ~measured))


def _rename(connection: Connection, old: str, new: str) -> None:
    table = schema.studies
    for row in connection.execute(select(table).where(table.c.study == old)).mappings().all():
        mine = [table.c[name] == row[name] for name in ("study", "dataset_hash", "setting")]
        definition = {**row["definition"], "name": new}
        connection.execute(update(table).where(*mine).values(definition=definition))
    for each in NAMED:
        connection.execute(update(each).where(each.c.study == old).values(study=new))
