"""Databases that are made, or brought up to date, by a process that is killed at each statement in turn."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

from ablate.store.connection.revisions import HEAD
from tests.support.store_processes import open_killed_at_every_statement
from tests.torture.figures import Figures

OLDEST = Path(__file__).parents[1] / "databases" / "0001.sql"
IN_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
"""Where hundreds of commits take no time; what the disk does is not what is tried."""


def kill_upgrades(folder: Path, *, every_of_oldest: int, every_of_new: int) -> Figures:
    """Open a database of the first revision, and one that is not there yet, with SIGKILL at every such
    statement, and once more in peace.
    """
    begun, oldest = time.monotonic(), folder / "0001.db"
    with closing(sqlite3.connect(oldest)) as connection:
        connection.executescript(OLDEST.read_text())
    measured: dict[str, float] = {"kills": 0, "other_ends": 0, "not_of_today": 0}
    for source, every in ((oldest, every_of_oldest), (None, every_of_new)):
        kills, ends = _killed(source, every)
        measured["kills"] += kills
        measured["other_ends"] += len(ends) - 1
        measured["not_of_today"] += sum(f"VALUES('{HEAD}')" not in end for end in ends)
    done = f"{measured['kills']:.0f} kills, each followed by a second try"
    return Figures(done, {**measured, "seconds": time.monotonic() - begun})


def _killed(source: Path | None, every: int) -> tuple[int, list[str]]:
    """How often it was killed, and the different databases that second tries left, as SQL.

    A process without torch does it, as each kill is of a fork of it.
    """
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as there:
        arguments = (source, Path(there), every, queue)
        process = context.Process(target=open_killed_at_every_statement, args=arguments)
        process.start()
        found: tuple[int, list[str]] = queue.get(timeout=1800)
        process.join()
    return found
