"""Somebody who stands still: a locked database, and a driver that is stopped and wakes up too late."""

from __future__ import annotations

import signal
import sqlite3
import time
from pathlib import Path

import numpy as np

from tests.torture.acknowledged import (
    count_duplicates,
    count_lost,
    count_unfinished,
    query,
    read,
    wait_for,
)
from tests.torture.figures import Figures
from tests.torture.life import Life, drive
from tests.torture.processes import Started, count_tracebacks, start
from tests.torture.study import keys, wide_plan

TAKEN_OVER = "SELECT COUNT(*) FROM attempts WHERE error = 'its process is gone'"


def lock_database(folder: Path, *, holds: list[tuple[float, float]]) -> Figures:
    """Lock the database from outside while two drivers on two machines share a study: for so many
    seconds under so long a lease.

    The first one trains a run for longer than the lock, the second one has nothing left to do but to
    watch the first one's heartbeat: it must not take the standstill for a death.
    """
    begun = time.monotonic()
    measured = dict.fromkeys(("failed", "false_take_overs", "unfinished", "lost", "tracebacks"), 0)
    for held, lease in holds:
        here = folder / f"held{held:g}-{lease:g}"
        here.mkdir()
        # Four epochs of the slow one before the lock, the lock, and some after it.
        plan = wide_plan(folder, 2, epochs=6 + round((held + lease / 4) / _PAUSE / 4))
        url = f"sqlite:///{here / 'results.db'}"
        slow = Life(plan, url, here / "slow.jsonl", 0, _PAUSE, "one/boot", lease)
        quick = Life(plan, url, here / "quick.jsonl", 0, 0.0, "two/boot", lease)
        drivers = [start(here / "slow.log", drive, slow)]
        wait_for(slow.acknowledged, "epoch")
        drivers.append(start(here / "quick.log", drive, quick))
        wait_for(quick.acknowledged, "note")
        _hold(here / "results.db", held)
        codes = [driver.wait(held + 120) for driver in drivers]
        logs = [here / "slow.log", here / "quick.log"]
        told = (slow.acknowledged, quick.acknowledged)
        measured["failed"] += sum(code != 0 for code in codes)
        measured["failed"] += query(url, "SELECT COUNT(*) FROM runs WHERE status='failed'")[0][0]
        measured["false_take_overs"] += query(url, TAKEN_OVER)[0][0]
        measured["unfinished"] += count_unfinished(url, plan.study.recipe.epochs, keys(plan))
        measured["lost"] += count_lost(url, *told)
        measured["tracebacks"] += count_tracebacks(*logs)
    done = "locked for " + ", ".join(f"{held:g} (lease {lease:g})" for held, lease in holds) + " s"
    return Figures(done, {**measured, "seconds": time.monotonic() - begun})


_PAUSE = 0.1


def _hold(path: Path, seconds: float) -> None:
    with sqlite3.connect(path, timeout=10, isolation_level=None) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")
    connection.close()


def stop_drivers(folder: Path, *, times: int, lease_seconds: float, seed: int = 1) -> Figures:
    """Stop a driver past its lease, let another machine's take its run over, and wake it up."""
    begun, rng = time.monotonic(), np.random.default_rng(seed)
    measured = dict.fromkeys(
        ("zombie_rows", "not_taken_over", "still_going", "lost", "duplicates", "tracebacks"), 0
    )
    for number in range(times):
        here = folder / f"stop{number}"
        here.mkdir()
        plan = wide_plan(folder, 1, epochs=8)
        url = f"sqlite:///{here / 'results.db'}"
        first = Life(plan, url, here / "first.jsonl", 0, 0.05, "one/boot", lease_seconds)
        second = Life(plan, url, here / "second.jsonl", 0, 0.0, "two/boot", lease_seconds)
        zombie = start(here / "first.log", drive, first)
        wait_for(first.acknowledged, "epoch")
        time.sleep(rng.uniform(0, 0.2))
        _stop_between_writes(zombie, here / "results.db")
        heir = start(here / "second.log", drive, second)
        if heir.wait() != 0:
            raise RuntimeError((here / "second.log").read_text()[-2000:])
        before = _everything(url)
        zombie.signal(signal.SIGCONT)
        measured["still_going"] += zombie.wait() != 0
        measured["zombie_rows"] += _everything(url) != before
        measured["not_taken_over"] += not read(second.acknowledged, "finished")
        measured["lost"] += count_lost(url, first.acknowledged, second.acknowledged)
        measured["duplicates"] += count_duplicates(url, first.acknowledged, second.acknowledged)
        measured["tracebacks"] += count_tracebacks(here / "first.log", here / "second.log")
    done = f"{times} drivers stopped past a lease of {lease_seconds:g} s"
    return Figures(done, {**measured, "seconds": time.monotonic() - begun})


def _stop_between_writes(driver: Started, path: Path) -> None:
    """SIGSTOP, not while it holds the database's lock: then all would wait for it, and rightly so."""
    while True:
        driver.signal(signal.SIGSTOP)
        time.sleep(0.01)
        connection = sqlite3.connect(path, timeout=0.1, isolation_level=None)
        try:
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("ROLLBACK")
            return
        except sqlite3.OperationalError:
            driver.signal(signal.SIGCONT)
            time.sleep(0.003)
        finally:
            connection.close()


def _everything(url: str) -> dict[str, list[tuple[object, ...]]]:
    tables = ("runs", "epochs", "steps", "attempts", "checkpoints", "explanations")
    return {table: sorted(map(repr, query(url, f"SELECT * FROM {table}"))) for table in tables}  # noqa: S608
