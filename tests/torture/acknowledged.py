"""What a process was told is stored: lines in a file that a kill of the process cannot undo."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import text

from ablate.result import Epoch, Failed, Finished
from ablate.store.connection.engine import reading

if TYPE_CHECKING:
    # For its type only: a writer loads no torch.
    from ablate.plan import Cell

PATIENCE_SECONDS = 120.0


class Alive(Protocol):
    """Something that may have ended."""

    @property
    def alive(self) -> bool: ...


class Acknowledgements:
    """A driver's Progress: it hears of an epoch or a result after it was committed."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, **what: Any) -> None:
        # writev: the row of failing writes leaves this system call alone.
        os.writev(self._file, [json.dumps(what).encode() + b"\n"])

    def stored(self, run_key: str, epoch: Epoch) -> None:
        values = [epoch.train_loss, epoch.val_loss]
        self.write(kind="epoch", run_key=run_key, epoch=epoch.epoch, values=values)

    def finished(self, run_key: str, result: Finished) -> None:
        self.write(kind="finished", run_key=run_key, values=[result.test_accuracy])

    def started(self, cell: Cell) -> None:
        self.write(kind="started", run_key=cell.run_key)

    def resumed(self, cell: Cell, epoch: int) -> None:
        self.write(kind="resumed", run_key=cell.run_key, epoch=epoch)

    def given_back(self, cell: Cell, why: str) -> None:
        self.write(kind="given back", run_key=cell.run_key, why=why)

    def epoch(self, cell: Cell, epoch: Epoch) -> None:
        self.stored(str(cell.run_key), epoch)

    def ended(self, cell: Cell, result: Finished | Failed) -> None:
        if isinstance(result, Finished):
            self.finished(str(cell.run_key), result)
        else:
            self.write(kind="failed", run_key=cell.run_key, error=result.error)

    def note(self, text: str) -> None:
        self.write(kind="note", text=text)


def read(path: Path, kind: str) -> list[dict[str, Any]]:
    """The lines of one kind so far."""
    if not path.exists():
        return []
    *whole, _being_written = path.read_text().split("\n")
    lines = [json.loads(line) for line in whole]
    return [line for line in lines if line["kind"] == kind]


def count_lost(url: str, *paths: Path) -> int:
    """How many acknowledged epochs and results the database does not have, as they were."""
    with reading(url) as connection:
        query = "SELECT run_key, epoch, train_loss, val_loss FROM epochs"
        epochs = {(r[0], r[1]): [r[2], r[3]] for r in connection.execute(text(query))}
        query = "SELECT run_key, test_accuracy FROM runs WHERE status = 'finished'"
        finished = {r[0]: [r[1]] for r in connection.execute(text(query))}
    lost = 0
    for path in paths:
        for line in read(path, "epoch"):
            lost += epochs.get((line["run_key"], line["epoch"])) != line["values"]
        lost += sum(finished.get(x["run_key"]) != x["values"] for x in read(path, "finished"))
    return lost


def query(url: str, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query, whatever the database."""
    with reading(url) as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


def count_duplicates(url: str, *paths: Path) -> int:
    """How many results were accepted beside the first one of their run."""
    accepted = query(url, "SELECT run_key FROM attempts WHERE outcome = 'finished'")
    told = [(line["run_key"],) for path in paths for line in read(path, "finished")]
    return sum(len(each) - len(set(each)) for each in (accepted, told))


def count_unfinished(url: str, epochs: int, run_keys: list[str]) -> int:
    """How many of these runs are not finished with exactly that many epochs, numbered from 1."""
    rows = query(
        url,
        "SELECT r.run_key, COUNT(e.epoch), MIN(e.epoch), MAX(e.epoch) FROM runs r "
        "JOIN epochs e ON e.run_key = r.run_key WHERE r.status = 'finished' GROUP BY r.run_key",
    )
    whole = {row[0] for row in rows if row[1:] == (epochs, 1, epochs)}
    return len(set(run_keys) - whole)


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Look again and again until it is so.

    Raises:
        TimeoutError: it is not so.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s in vain")
        time.sleep(0.005)


def wait_for(path: Path, kind: str, count: int = 1, process: Alive | None = None) -> None:
    """Wait until that many lines of a kind are there, or until the process that writes them ended."""
    wait_until(
        lambda: len(read(path, kind)) >= count or (process is not None and not process.alive)
    )
