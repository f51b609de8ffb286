"""What `ablate status` asks of a database.

Runs are counted by the database and read one by one only where they are under way, so that a database
of 10,000 runs answers at once. Plain SQL, for the same reason (`ask.py`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from ablate.result import RunStatus
from ablate.result.elsewhere import is_elsewhere
from ablate.store.connection.ask import asking
from ablate.store.connection.ask_file import Ask
from ablate.store.progress.status import Counted, Process, RunningRun, StudyKey, StudyStatus, Worker
from ablate.system.process.owner import Owner

STUDIES = """
SELECT study, dataset_hash, setting, dataset, definition FROM studies ORDER BY updated_at
"""
COUNTS = """
SELECT c.study, c.dataset_hash, c.setting, r.status, r.failure, r.device, COUNT(*), SUM(r.seconds)
FROM cells c JOIN runs r ON r.run_key = c.run_key
GROUP BY c.study, c.dataset_hash, c.setting, r.status, r.failure, r.device
"""
RUNNING = """
SELECT c.study, c.dataset_hash, c.setting, c.variant, r.seed, r.run_key, r.owner_host, r.owner_pid,
       r.owner_started, r.started_at, r.fold,
       (SELECT MAX(e.epoch) FROM epochs e WHERE e.run_key = r.run_key)
FROM cells c JOIN runs r ON r.run_key = c.run_key
WHERE r.status = 'running'
ORDER BY c.study, c.dataset_hash, c.setting, c.ordinal
"""
WORKERS = """
SELECT a.host, a.pid, MAX(r.device), SUM(r.seconds), MIN(a.started_at), MAX(a.finished_at)
FROM attempts a JOIN runs r ON r.run_key = a.run_key
WHERE a.outcome = 'finished' AND r.status = 'finished'
GROUP BY a.host, a.pid
"""
# A stopped run goes on from its newest checkpoint, whatever it stored after that.
STOPPED = """
SELECT c.study, c.dataset_hash, c.setting,
       (SELECT MAX(k.epoch) FROM checkpoints k WHERE k.run_key = r.run_key), c.variant,
       (SELECT COUNT(*) FROM trials t WHERE t.study = c.study AND t.dataset_hash = c.dataset_hash
        AND t.setting = c.setting AND t.fingerprint = r.fingerprint AND t.state = 'pruned')
FROM cells c JOIN runs r ON r.run_key = c.run_key
WHERE r.status = 'stopped'
"""
OPEN_TRIALS = """
SELECT study, dataset_hash, setting, COUNT(*) FROM trials WHERE state = 'running'
GROUP BY study, dataset_hash, setting
"""
EPOCHS_OF_BEGUN = """
SELECT COUNT(*), SUM(e.seconds)
FROM cells c JOIN runs r ON r.run_key = c.run_key JOIN epochs e ON e.run_key = r.run_key
WHERE r.status IN ('running', 'stopped') AND c.study = ? AND c.dataset_hash = ? AND c.setting = ?
"""


def read_status(url: str, study: str | None = None) -> list[StudyStatus]:
    """The state of every study, or of one, in the order in which they were last started.

    Raises:
        DatabaseError: there is no database, or it cannot be read.
    """
    with asking(url) as ask:
        counted = {
            (name, content, setting): Counted(
                (name, content, setting),
                _epochs(definition),
                dataset,
                _grid(definition),
                context=_context(definition),
                elsewhere=is_elsewhere(_decoded(definition)),
            )
            for name, content, setting, dataset, definition in ask(STUDIES)
            if study in (None, name)
        }
        for name, content, setting, *row in ask(COUNTS):
            if each := counted.get((name, content, setting)):
                each.add(*row)
        for name, content, setting, open_trials in ask(OPEN_TRIALS):
            if each := counted.get((name, content, setting)):
                each.open_trials = open_trials
        running = _running(ask, counted)
        workers = _workers(ask, [run for runs in running.values() for run in runs])
        for place, runs in running.items():
            counted[place].running = [_with_device(run, workers) for run in runs]
        _count_epochs(ask, counted)
    return [each.conclude(workers) for each in counted.values()]


def _decoded(definition: Any) -> dict[str, Any]:
    """A PostgreSQL driver has decoded JSON already, SQLite's has not."""
    return dict(json.loads(definition) if isinstance(definition, str) else definition)


def _epochs(definition: Any) -> int:
    found = _decoded(definition)
    return 0 if is_elsewhere(found) else int(found["recipe"]["epochs"])


def _context(definition: Any) -> dict[str, Any]:
    return dict(_decoded(definition).get("context") or {})


def _grid(definition: Any) -> frozenset[str]:
    """The variants of a study's grid, which its searches have not asked for alone."""
    return frozenset(map(str, _decoded(definition).get("variants", ())))


def _running(ask: Ask, counted: Mapping[StudyKey, Counted]) -> dict[StudyKey, list[RunningRun]]:
    found: dict[StudyKey, list[RunningRun]] = defaultdict(list)
    for study, content, setting, *row in ask(RUNNING):
        variant, seed, run_key, host, pid, started, started_at, fold, epoch = row
        if (place := (study, content, setting)) not in counted:
            continue
        owner = Owner(host, pid, started)
        found[place].append(
            RunningRun(
                variant=variant,
                seed=seed,
                run_key=run_key,
                owner=owner,
                gone=owner.is_gone(),
                device=None,
                epoch=epoch or 0,
                started_at=started_at,
                fold=fold,
            )
        )
    return found


def _workers(ask: Ask, running: Iterable[RunningRun]) -> dict[Process, Worker]:
    """What the processes that are at work have finished so far."""
    processes = {run.process for run in running}
    return {
        (host, pid): Worker(device, seconds / _seconds_between(first, last))
        for host, pid, device, seconds, first, last in (ask(WORKERS) if processes else ())
        if (host, pid) in processes
    }


def _seconds_between(first: str, last: str) -> float:
    """At least a millisecond, which is how precisely the times are stored; one clock wrote both."""
    passed = datetime.fromisoformat(last) - datetime.fromisoformat(first)
    return max(passed.total_seconds(), 1e-3)


def _with_device(run: RunningRun, workers: Mapping[Process, Worker]) -> RunningRun:
    worker = workers.get(run.process)
    return run if worker is None else replace(run, device=worker.device)


def _count_epochs(ask: Ask, counted: Mapping[StudyKey, Counted]) -> None:
    """What runs that are not over have done, and how long an epoch of theirs takes."""
    for study, content, setting, epoch, variant, pruned in ask(STOPPED):
        each = counted.get((study, content, setting))
        if each is None:
            continue
        if pruned and variant not in each.grid:
            each.pruned += 1  # its search has stopped it for good
        else:
            each.epochs_done += epoch or 0
    for place, each in counted.items():
        each.epochs_done += sum(run.epoch for run in each.running)
        begun = each.counts[RunStatus.RUNNING] + each.counts[RunStatus.STOPPED]
        if begun and not each.finished:
            [(count, seconds)] = ask(EPOCHS_OF_BEGUN, place)
            each.epoch_seconds = seconds / count if count else None
