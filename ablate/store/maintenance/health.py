"""What `ablate doctor` asks of a database and of the disk it lies on."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
from sqlalchemy import select, text

from ablate.result import RunStatus
from ablate.store import schema
from ablate.store.connection import sqlite
from ablate.store.connection.contents import problem_in
from ablate.store.connection.engine import database_exists, files_folder, reading, shown
from ablate.store.connection.sqlite_file import plain_file
from ablate.store.files.beside import Files
from ablate.store.files.checkpoints import checkpoint_files
from ablate.store.files.weights import checked_weights, weights_files
from ablate.system.files.folders import is_writable
from ablate.system.process.owner import Owner

WAL_SAFE_SINCE = (3, 51, 3)
"""Before this SQLite could lose commits of several connections in WAL mode (its WAL-reset bug)."""
NETWORK = (
    "nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "gpfs",
    "beegfs", "ocfs2", "gfs2", "virtiofs", "davfs", "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs",
    "fuse.gcsfuse", "fuse.rclone", "fuse.davfs", "fuse.ceph",
)  # fmt: skip


def filesystem_of(path: Path) -> str | None:
    """The kind of filesystem that a path lies on, None where the system does not tell."""
    best, kind = -1, None
    for mount in psutil.disk_partitions(all=True):
        where = Path(mount.mountpoint)
        # The last of several mounts on one place is the one that is seen.
        if path.resolve().is_relative_to(where) and len(where.parts) >= best:
            best, kind = len(where.parts), mount.fstype
    return kind or None


def is_network(kind: str) -> bool:
    """Whether files of such a filesystem lie on another machine, where locks may not hold."""
    return kind in NETWORK


def check_integrity(url: str) -> list[str]:
    """What is wrong with the file and its rows: the first thing that is found; empty if all is well.

    A PostgreSQL server sees to both by itself.

    Raises:
        DatabaseError: not ours, newer, or not to be opened.
    """
    with reading(url) as connection:
        if connection.dialect.name != "sqlite":
            return []
    problem = problem_in(Path(shown(url)))
    return [] if problem is None else [problem]


def journal_mode(url: str) -> str | None:
    """How SQLite keeps a commit whole; None for another kind of database."""
    with reading(url) as connection:
        return sqlite.journal_mode(connection)


def write_refusal(url: str) -> str | None:
    """Why results cannot be stored there, None where they can; nothing is written.

    Raises:
        DatabaseError: it cannot be read.
    """
    folder = files_folder(url)
    if not is_writable(folder.absolute()):
        return f"{folder}: this folder cannot be written: name another database with --db"
    if not database_exists(url):
        return None
    file = plain_file(url)
    if file is not None and not os.access(file, os.W_OK):
        return (
            f"{file}: this file cannot be written: change its permissions (chmod u+w), or copy it"
        )
    with reading(url) as connection:
        if connection.dialect.name == "sqlite":
            return None
        may = connection.scalar(text("SELECT has_table_privilege('runs', 'INSERT, UPDATE')"))
    return (
        None if may else f"{shown(url)}: this user may not write its tables: GRANT INSERT, UPDATE"
    )


def running_owners(url: str) -> list[Owner]:
    """The owner of each run that is marked as being trained."""
    runs = schema.runs
    owner = (runs.c.owner_host, runs.c.owner_pid, runs.c.owner_started)
    with reading(url) as connection:
        found = connection.execute(select(*owner).where(runs.c.status == RunStatus.RUNNING))
        return [Owner(*row) for row in found]


def lost_files(url: str) -> dict[str, list[str]]:
    """Weights and checkpoints that rows name but that are not beside the database."""
    runs, checkpoints = schema.runs, schema.checkpoints
    with reading(url) as connection:
        kept = select(runs.c.weights_file).where(runs.c.weights_file.is_not(None))
        named = {
            "weights": list(map(checked_weights, connection.scalars(kept))),
            "checkpoints": list(connection.scalars(select(checkpoints.c.file))),
        }
    return {
        "weights": _missing(weights_files(url), named["weights"]),
        "checkpoints": _missing(checkpoint_files(url), named["checkpoints"]),
    }


def _missing(files: Files, names: list[str]) -> list[str]:
    return [name for name in names if not files.has(name)]
