"""Taking a study out of a database.

A run belongs to every study that names it. So only those go with a study that no other one names, and with
them what belongs to nobody then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Table, delete, exists, select

from ablate.result import RunStatus
from ablate.store import schema
from ablate.store.connection.engine import reading, shown
from ablate.store.maintenance.studies import (
    NAMED,
    names_of,
    refuse_busy,
    runs_alone,
    runs_of,
    written,
)
from ablate.store.statements import chunks


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


def what_goes(url: str, study: str) -> Removal:
    """What `delete_study` would take away.

    Raises:
        DatabaseError: no such study, runs of it are being trained, or it cannot be read.
    """
    with reading(url) as connection:
        refuse_busy(connection, study, shown(url))
        return _removal(connection, study)


def delete_study(url: str, study: str) -> Removal:
    """Take a study out of a database in one transaction; files stay for whoever calls.

    Raises:
        DatabaseError: as `what_goes`; nothing was changed.
    """
    gone: list[Removal] = []

    def remove(connection: Connection) -> Removal:
        # Called again after a commit whose end nobody knew, it may find nothing left to do.
        if gone and study not in names_of(connection):
            return gone[0]
        refuse_busy(connection, study, shown(url))
        gone[:] = [_removal(connection, study)]
        _remove(connection, gone[0])
        return gone[0]

    return written(url, remove)


def _removal(connection: Connection, study: str) -> Removal:
    runs, traces = schema.runs, schema.traces
    gone = runs_alone(connection, study)
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
        len(runs_of(connection, study)) - len(gone),
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
