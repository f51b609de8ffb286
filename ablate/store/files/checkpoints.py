"""Checkpoints of unfinished runs: files in `checkpoints/`, beside the database or below `--files`, named by
rows.

A file is on the disk before its row is committed, and a row is the only thing that makes a file a
checkpoint: files without one are swept away. Its name carries the attempt, so that a zombie's late
write touches nobody else's file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, delete, or_, select

from ablate.result import Checkpoint
from ablate.result.status import READY
from ablate.store import schema
from ablate.store.files.beside import Files, files_of
from ablate.store.statements import put
from ablate.system.process.clock import now

KEPT = 2
"""The newest checkpoint and the one before it, should the newest be damaged."""


def checkpoint_files(url: str) -> Files:
    """Where the checkpoints of a database lie."""
    return files_of(url, "checkpoints")


def write(url: str, run_key: str, token: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """Write a checkpoint's file under the token of its attempt; returns the row that will name it.

    Raises:
        DatabaseError: it cannot be written; nothing is left behind.
    """
    name = f"{run_key}-{token[:8]}-{checkpoint.epoch}.safetensors"
    checkpoint_files(url).write(name, checkpoint.content)
    return {
        "run_key": run_key,
        "epoch": checkpoint.epoch,
        "file": name,
        "sha256": hashlib.sha256(checkpoint.content).hexdigest(),
        "written_at": now(),
    }


def remove(url: str, files: Iterable[str]) -> None:
    """Delete files that no row names any more, or that got none."""
    listed = list(files)
    if listed:
        checkpoint_files(url).remove(listed)


def record(connection: Connection, row: dict[str, Any]) -> list[str]:
    """Name a file that was written, and forget those before the last two; returns which."""
    table = schema.checkpoints
    put(connection, table, [row])
    mine = table.c.run_key == row["run_key"]
    kept = select(table.c.epoch, table.c.file).where(mine).order_by(table.c.epoch.desc())
    old = connection.execute(kept).all()[KEPT:]
    for epoch, _ in old:
        connection.execute(delete(table).where(mine, table.c.epoch == epoch))
    return [file for _, file in old]


def newest(connection: Connection, url: str, run_key: str) -> Checkpoint | None:
    """The newest checkpoint whose file is here, and is what its row says."""
    table = schema.checkpoints
    mine = select(table).where(table.c.run_key == run_key).order_by(table.c.epoch.desc())
    rows = connection.execute(mine).all()
    files = checkpoint_files(url) if rows else None
    for row in rows:
        try:
            content = files.read(row.file) if files else b""
        except OSError:
            continue
        if hashlib.sha256(content).hexdigest() == row.sha256:
            return Checkpoint(row.epoch, content)
    return None


def paths(connection: Connection) -> dict[str, Mapping[str, Any]]:
    """Under which path the runs were begun that have a checkpoint, where that is known."""
    runs, saved = schema.runs, select(schema.checkpoints.c.run_key)
    query = select(runs.c.run_key, runs.c.path).where(runs.c.path.is_not(None))
    found = connection.execute(query.where(runs.c.run_key.in_(saved)))
    return {row.run_key: row.path for row in found}


def rewind(connection: Connection, run_key: str, epoch: int) -> None:
    """Remove what a run stored after an epoch."""
    for table in (schema.epochs, schema.steps, schema.checkpoints):
        # Steps that were stored before they had an epoch belong to no checkpoint.
        after = or_(table.c.epoch > epoch, table.c.epoch.is_(None))
        connection.execute(delete(table).where(table.c.run_key == run_key, after))


def forget(connection: Connection, run_key: str) -> list[str]:
    """Forget all checkpoints of a run, which is finished; returns their files."""
    table = schema.checkpoints
    files = list(connection.scalars(select(table.c.file).where(table.c.run_key == run_key)))
    connection.execute(delete(table).where(table.c.run_key == run_key))
    return files


def sweep(connection: Connection, url: str, run_key: str) -> None:
    """Delete a run's files that no row names. What cannot be deleted now is swept another time."""
    table = schema.checkpoints
    named = set(connection.scalars(select(table.c.file).where(table.c.run_key == run_key)))
    files = checkpoint_files(url)
    files.remove(name for name in files.names(f"{run_key}-") if name not in named)


def sweep_all(url: str, run_key: str) -> None:
    """Delete all files of a run that is finished: no row names any of them."""
    files = checkpoint_files(url)
    files.remove(files.names(f"{run_key}-"))


def unseen(connection: Connection, url: str, run_keys: Collection[str]) -> int:
    """How many of these runs have checkpoints of which none can be seen from here."""
    runs, table = schema.runs, schema.checkpoints
    query = (
        select(table.c.run_key, table.c.file)
        .join(runs, runs.c.run_key == table.c.run_key)
        .where(runs.c.status.in_(READY))
    )
    files, seen = checkpoint_files(url), dict[str, bool]()
    for run_key, file in connection.execute(query):
        if run_key in run_keys:
            seen[run_key] = seen.get(run_key, False) or files.has(file)
    return list(seen.values()).count(False)
