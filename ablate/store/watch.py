"""What `ablate status` asks of a database.

Runs are counted by the database and read one by one only where they are under way, so that a database
of 10,000 runs answers at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, Table, and_, func, or_, select

from ablate.store import schema
from ablate.store.owner import Owner
from ablate.store.read import reading
from ablate.store.rows import chunks
from ablate.store.status import Counted, Place, Process, RunningRun, StudyStatus, Worker


def read_status(url: str, study: str | None = None) -> list[StudyStatus]:
    """The state of every study, or of one, in the order in which they were last started.

    Raises:
        DatabaseError: there is no database, or it cannot be read.
    """
    with reading(url) as connection:
        counted = _count(connection, study)
        running = _running(connection, study)
        workers = _workers(connection, [run for runs in running.values() for run in runs])
        for place, each in counted.items():
            each.running = [_with_device(run, workers) for run in running.get(place, ())]
        _count_epochs(connection, counted, study)
    return [each.conclude(workers) for each in counted.values()]


def _count(connection: Connection, study: str | None) -> dict[Place, Counted]:
    cells, runs, studies = schema.cells, schema.runs, schema.studies
    counted: dict[Place, Counted] = {}
    named = _of(select(studies).order_by(studies.c.updated_at), studies, study)
    for row in connection.execute(named):
        place = (row.study, row.dataset, row.setting)
        counted[place] = Counted(place, int(row.definition["recipe"]["epochs"]))
    keys = (*_place(cells), runs.c.status, runs.c.failure, runs.c.device)
    query = select(*keys, func.count(), func.sum(runs.c.seconds)).select_from(cells).join(runs)
    for row in connection.execute(_of(query.group_by(*keys), cells, study)):
        if each := counted.get((row[0], row[1], row[2])):
            each.add(*row[3:])
    return counted


def _running(connection: Connection, study: str | None) -> dict[Place, list[RunningRun]]:
    cells, runs = schema.cells, schema.runs
    query = select(cells, runs).join(runs).where(runs.c.status == "running")
    query = _of(query.order_by(*_place(cells), cells.c.ordinal), cells, study)
    rows = connection.execute(query).mappings().all()
    reached = _newest_epochs(connection, schema.epochs, [row["run_key"] for row in rows])
    found: dict[Place, list[RunningRun]] = {}
    for row in rows:
        owner = Owner(row["owner_host"], row["owner_pid"], row["owner_started"])
        run = RunningRun(
            variant=row["variant"],
            seed=row["seed"],
            run_key=row["run_key"],
            owner=owner,
            gone=owner.is_gone(),
            device=None,
            epoch=reached.get(row["run_key"], 0),
            started_at=row["started_at"],
        )
        found.setdefault((row["study"], row["dataset"], row["setting"]), []).append(run)
    return found


def _workers(connection: Connection, running: Iterable[RunningRun]) -> dict[Process, Worker]:
    """What the processes that are at work have finished so far."""
    attempts, runs = schema.attempts, schema.runs
    processes = {run.process for run in running}
    if not processes:
        return {}
    mine = (and_(attempts.c.host == host, attempts.c.pid == pid) for host, pid in processes)
    keys = attempts.c.host, attempts.c.pid
    since, until = func.min(attempts.c.started_at), func.max(attempts.c.finished_at)
    query = (
        select(*keys, func.max(runs.c.device), func.sum(runs.c.seconds), since, until)
        .join(runs)
        .where(attempts.c.outcome == "finished", runs.c.status == "finished", or_(*mine))
        .group_by(*keys)
    )
    return {
        (host, pid): Worker(device, seconds / _seconds_between(first, last))
        for host, pid, device, seconds, first, last in connection.execute(query)
    }


def _seconds_between(first: str, last: str) -> float:
    """At least a millisecond, which is how precisely the times are stored; one clock wrote both."""
    passed = datetime.fromisoformat(last) - datetime.fromisoformat(first)
    return max(passed.total_seconds(), 1e-3)


def _with_device(run: RunningRun, workers: Mapping[Process, Worker]) -> RunningRun:
    worker = workers.get(run.process)
    return run if worker is None else replace(run, device=worker.device)


def _count_epochs(
    connection: Connection, counted: Mapping[Place, Counted], study: str | None
) -> None:
    """What runs that are not over have done, and how long an epoch of theirs takes."""
    cells, runs = schema.cells, schema.runs
    query = select(*_place(cells), runs.c.run_key, runs.c.status).select_from(cells).join(runs)
    begun = query.where(runs.c.status.in_(("running", "stopped")))
    keys: dict[Place, list[str]] = {}
    stopped = set()
    for row in connection.execute(_of(begun, cells, study)):
        keys.setdefault((row.study, row.dataset, row.setting), []).append(row.run_key)
        if row.status == "stopped":
            stopped.add(row.run_key)
    # A stopped run goes on from its newest checkpoint, whatever it stored after that.
    kept = _newest_epochs(connection, schema.checkpoints, sorted(stopped))
    for place, each in counted.items():
        each.epochs_done = sum(kept.get(key, 0) for key in keys.get(place, ()))
        each.epochs_done += sum(run.epoch for run in each.running)
        if not each.finished:
            each.epoch_seconds = _mean_epoch(connection, keys.get(place, []))


def _mean_epoch(connection: Connection, run_keys: Sequence[str]) -> float | None:
    epochs = schema.epochs
    query = select(func.count(), func.sum(epochs.c.seconds))
    count, seconds = 0, 0.0
    for chunk in chunks(run_keys):
        more, taken = connection.execute(query.where(epochs.c.run_key.in_(chunk))).one()
        count, seconds = count + more, seconds + (taken or 0.0)
    return seconds / count if count else None


def _newest_epochs(connection: Connection, table: Table, run_keys: Sequence[str]) -> dict[str, int]:
    query = select(table.c.run_key, func.max(table.c.epoch)).group_by(table.c.run_key)
    return {
        run_key: epoch
        for chunk in chunks(run_keys)
        for run_key, epoch in connection.execute(query.where(table.c.run_key.in_(chunk)))
    }


def _place(table: Table) -> tuple[Any, Any, Any]:
    return table.c.study, table.c.dataset, table.c.setting


def _of(query: Select[Any], table: Table, study: str | None) -> Select[Any]:
    return query if study is None else query.where(table.c.study == study)
