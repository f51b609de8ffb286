"""Whole studies: what a database holds of each, and another name for one.

A run belongs to every study that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, exists, func, select, union, update

from ablate.errors import DatabaseError, nearest
from ablate.result import RunStatus
from ablate.store import schema
from ablate.store.connection.engine import open_engine, reading, shown
from ablate.store.connection.transaction import transact
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
        there = names_of(connection)
        if not again or old in there:  # else it has taken place, in a commit whose end nobody knew
            refuse_busy(connection, old, shown(url))
            if new in there:
                raise DatabaseError(
                    f"{shown(url)}: has a study {new!r} already: choose another name, or delete it first"
                )
            _rename(connection, old, new)
        return len(runs_of(connection, new))

    return written(url, rename)


def written(url: str, do: Callable[[Connection], Returned]) -> Returned:
    """What `do` returns, in one transaction on a database that is there.

    Raises:
        DatabaseError: there is none, or it cannot be written; nothing was changed.
    """
    engine = open_engine(url, create=False)
    try:
        return transact(engine, do, writes=True)
    finally:
        engine.dispose()


def names_of(connection: Connection) -> set[str]:
    """Every study that a row names."""
    return set(connection.scalars(union(*(select(table.c.study) for table in NAMED))))


def refuse_busy(connection: Connection, study: str, name: str) -> None:
    """Refuse a study that must not be changed now; `name` is what people call the database.

    Raises:
        DatabaseError: no such study, or runs of it are being trained.
    """
    known = sorted(names_of(connection))
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


def runs_of(connection: Connection, study: str) -> list[str]:
    """The keys of a study's runs."""
    cells = schema.cells
    return sorted(connection.scalars(select(cells.c.run_key).where(cells.c.study == study)))


def runs_alone(connection: Connection, study: str) -> list[str]:
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
        len(runs_of(connection, study)),
        connection.scalar(finished) or 0,
        len(runs_alone(connection, study)),
        max(row.updated_at for row in rows),
    )


def _rename(connection: Connection, old: str, new: str) -> None:
    table = schema.studies
    for row in connection.execute(select(table).where(table.c.study == old)).mappings().all():
        mine = [table.c[name] == row[name] for name in ("study", "dataset_hash", "setting")]
        definition = {**row["definition"], "name": new}
        connection.execute(update(table).where(*mine).values(definition=definition))
    for each in NAMED:
        connection.execute(update(each).where(each.c.study == old).values(study=new))
