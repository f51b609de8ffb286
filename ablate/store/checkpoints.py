"""Checkpoints of unfinished runs: files in `checkpoints/` beside the database, named by rows.

A file is on the disk before its row is committed, and a row is the only thing that makes a file a
checkpoint: files without one are swept away. Its name carries the attempt, so that a zombie's late
write touches nobody else's file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, or_, select

from ablate.result import Checkpoint
from ablate.store import schema
from ablate.store.address import files_folder
from ablate.store.claims import Claim
from ablate.store.rows import now, put
from ablate.store.stored_file import read_beside, store_file
from ablate.system.inside import inside

KEPT = 2
"""The newest checkpoint and the one before it, should the newest be damaged."""


def checkpoint_folder(url: str) -> Path:
    """Where the checkpoints of a database lie."""
    return inside(files_folder(url), "checkpoints")


def write(url: str, claim: Claim, checkpoint: Checkpoint) -> dict[str, Any]:
    """Write a checkpoint's file; returns the row that will name it.

    Raises:
        DatabaseError: it cannot be written; nothing is left behind.
    """
    name = f"{claim.run_key}-{claim.token[:8]}-{checkpoint.epoch}.safetensors"
    path = inside(checkpoint_folder(url), name)
    store_file(path, checkpoint.content)
    return {
        "run_key": claim.run_key,
        "epoch": checkpoint.epoch,
        "file": name,
        "sha256": hashlib.sha256(checkpoint.content).hexdigest(),
        "written_at": now(),
    }


def remove(url: str, files: Iterable[str]) -> None:
    """Delete files that no row names any more, or that got none."""
    for file in files:
        inside(checkpoint_folder(url), file).unlink(missing_ok=True)


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
    for row in connection.execute(mine).all():
        try:
            content = read_beside(inside(checkpoint_folder(url), row.file))
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
    for path in checkpoint_folder(url).glob(f"{run_key}-*.safetensors"):
        if path.name not in named:
            path.unlink(missing_ok=True)


def sweep_all(url: str, run_key: str) -> None:
    """Delete all files of a run that is finished: no row names any of them."""
    for path in checkpoint_folder(url).glob(f"{run_key}-*.safetensors"):
        path.unlink(missing_ok=True)
