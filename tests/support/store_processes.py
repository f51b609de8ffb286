"""What other processes do in tests of the store; a module of its own, so that they load no torch."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from itertools import count
from pathlib import Path

from sqlalchemy import Engine, event

from ablate.store.writing.store import Store


def claim_all(url: str, run_keys: list[str], queue: multiprocessing.Queue[list[str]]) -> None:
    """Open a database, make it if it is missing, say so, and claim until nothing is left of what the
    test then registers; send what was claimed.
    """
    store, mine = Store(url), []
    queue.put([])
    while not store.statuses(run_keys[-1:]):
        time.sleep(0.02)
    while claimed := store.claim_cohort(run_keys, 1, str):
        mine += [claim.run_key for claim in claimed]
    queue.put(mine)


def open_killed_at_every_statement(
    source: Path | None, folder: Path, every: int, queue: multiprocessing.Queue[object]
) -> None:
    """Open a copy of a database, or a new one, with SIGKILL at each statement in turn, and again in
    peace; send how often it was killed and every database that the second try left, as SQL.
    """
    dumps: set[str] = set()
    for number in count(1, every):
        path = folder / f"{number}.db"
        if source is not None:
            shutil.copy(source, path)
        killed = _fork_and_open(path, number)
        Store(f"sqlite:///{path}").close()
        with closing(sqlite3.connect(path)) as connection:
            dumps.add("\n".join(connection.iterdump()))
        if not killed:
            queue.put((number // every, sorted(dumps)))
            return


def _fork_and_open(path: Path, number: int) -> bool:
    """Open a database in a process that is killed at that statement; False if it came to its end."""
    child = os.fork()
    if child:
        end = os.waitpid(child, 0)[1]
        assert end in (0, signal.SIGKILL), "an exception"
        return end == signal.SIGKILL
    seen = count(1)

    def kill(*_: object) -> None:
        if next(seen) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", kill)
    event.listen(Engine, "commit", kill)
    try:
        Store(f"sqlite:///{path}").close()
    except BaseException:
        os._exit(1)
    os._exit(0)
