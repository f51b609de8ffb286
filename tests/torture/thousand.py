"""A thousand drivers on one PostgreSQL, played by a few processes: the store's own transactions as plain SQL,
as often as nodes make them that each train a share of the reference grid.
"""

from __future__ import annotations

import heapq
import multiprocessing
import random
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from ablate.drive.driver import RENEW_SECONDS
from ablate.drive.open_runs import WINDOW
from ablate.store.writing.store import Store
from tests.torture import recorded
from tests.torture.figures import Figures
from tests.torture.postgres import server
from tests.torture.recorded import AFTER, Script
from tests.torture.study import keys, many_plan

EPOCHS = 50
GRID_EPOCH_SECONDS = 0.9
"""As the reference grid has them on one GPU, 6,750 in 600 s: 0.09 s each, of ten runs side by side."""
SIDE_BY_SIDE = 10
WATCH_SECONDS = 5.0
"""How often a driver looks at what the others train, at the most, when there is much of it."""
PATIENCE_SECONDS = 300.0
KINDS = ("claim", "report", "finish", "renew", "watch")


@dataclass
class Load:
    """What the nodes did, how long each kind of transaction took and how late each was."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    late: list[float] = field(default_factory=list)
    wanted: int = 0
    statements: int = 0

    def add(self, other: Load) -> None:
        for kind, each in other.seconds.items():
            self.seconds.setdefault(kind, []).extend(each)
        self.late += other.late
        self.wanted += other.wanted
        self.statements += other.statements

    @property
    def made(self) -> int:
        """How many transactions there were."""
        return sum(map(len, self.seconds.values()))

    def p99(self, kind: str) -> float:
        return float(np.percentile(self.seconds.get(kind, [float("nan")]), 99))


@dataclass(frozen=True)
class Part:
    """What one process plays: so many nodes, each with an epoch in so many seconds."""

    url: str
    script: Script
    run_keys: tuple[str, ...]
    nodes: int
    seconds: float
    epoch_seconds: float
    seed: int


@dataclass
class Player:
    """The nodes of a part on one connection, each with the runs that it holds and its epoch."""

    part: Part
    connection: psycopg.Connection[Any]
    load: Load = field(default_factory=Load)
    held: dict[int, Mapping[Any, Any]] = field(default_factory=dict)
    epoch: dict[int, int] = field(default_factory=dict)
    window: int = 0

    def begin(self, rng: random.Random) -> None:
        """Every node is somewhere in the middle of its runs, as after a while."""
        for node in range(self.part.nodes):
            self.claim(node)
            self.epoch[node] = rng.randrange(EPOCHS)
        self.load = Load()

    def play(self, begins: float, rng: random.Random) -> Load:
        """Each node when its time has come, until the time is over."""
        every = {"report": self.part.epoch_seconds, "renew": RENEW_SECONDS, "watch": WATCH_SECONDS}
        due = [
            (begins + rng.uniform(0, seconds), node, kind)
            for kind, seconds in every.items()
            for node in range(self.part.nodes)
        ]
        heapq.heapify(due)
        ends = begins + self.part.seconds
        self.load.wanted = round(
            sum(self.part.nodes * self.part.seconds / s for s in every.values())
        )
        while due[0][0] < ends and time.monotonic() < ends:
            when, node, kind = due[0]
            time.sleep(max(0.0, when - time.monotonic()))
            self.load.late.append(max(0.0, time.monotonic() - when))
            getattr(self, kind)(node)
            heapq.heapreplace(due, (when + every[kind], node, kind))
        return self.load

    def claim(self, node: int) -> None:
        """A driver looks at a window of its open runs, and goes on to the next where others have them."""
        keys = self.part.run_keys
        while self.window < len(keys):
            window = keys[self.window : self.window + WINDOW]
            take = partial(recorded.claim, self.connection, self.part.script, window)
            found = self._time("claim", take)
            self.held[node], self.epoch[node] = found, 0
            if len(found) == 2 * SIDE_BY_SIDE:
                return
            self.window += WINDOW
        raise RuntimeError("no run is left to be claimed: give the study more of them")

    def report(self, node: int) -> None:
        """An epoch of all its runs; after the last one, the next runs."""
        self.epoch[node] += 1
        last = self.epoch[node] == EPOCHS
        said = self.part.script.last_epoch if last else self.part.script.epoch
        self._play("finish" if last else "report", said, self.held[node], self.epoch[node])
        if last:
            self.claim(node)

    def renew(self, node: int) -> None:
        self._play("renew", self.part.script.renew, self.held[node], 0)

    def watch(self, _node: int) -> None:
        self._play("watch", self.part.script.watch, {AFTER: secrets.token_hex(8)}, 0)

    def _play(
        self, kind: str, said: tuple[recorded.Statement, ...], other: Mapping[Any, Any], epoch: int
    ) -> None:
        self._time(kind, lambda: ({}, recorded.play(self.connection, said, other, epoch)))

    def _time(self, kind: str, do: Callable[[], tuple[dict[Any, Any], int]]) -> dict[Any, Any]:
        begun = time.monotonic()
        found, statements = do()
        self.load.seconds.setdefault(kind, []).append(time.monotonic() - begun)
        self.load.statements += statements
        return found


def _play_part(part: Part, ready: Any, begins: Any, results: Any) -> None:
    """What a process does: get its runs, wait for the others, play."""
    rng = random.Random(part.seed)  # noqa: S311 - when whose time has come
    with psycopg.connect(part.url, autocommit=True) as connection:
        player = Player(part, connection)
        player.begin(rng)
        ready.release()
        while not begins.value:
            time.sleep(0.01)
        results.put(player.play(begins.value, rng))


def measure_nodes(
    folder: Path,
    *,
    nodes: int,
    seconds: float,
    processes: int,
    epoch_seconds: float = GRID_EPOCH_SECONDS,
) -> Figures:
    """Let them claim, report and show that they live for so long, all at their own rate."""
    more = 2 + int(seconds / (EPOCHS * epoch_seconds))
    plan = many_plan(folder, (1 + more) * SIDE_BY_SIDE * nodes + WINDOW, epochs=EPOCHS)
    with server() as (_, url):
        store = Store(url)
        store.register(plan)
        script = recorded.record(store, keys(plan)[-WINDOW:], SIDE_BY_SIDE, EPOCHS)
        store.close()
        shares = [len(range(nodes)[i::processes]) for i in range(processes)]
        parts = [
            Part(url, script, tuple(keys(plan)), share, seconds, epoch_seconds, i)
            for i, share in enumerate(shares)
        ]
        load, took, written = _played(url, parts)
    behind = float(np.percentile(load.late, 99)) if load.late else float("inf")
    measured = {
        "transactions_per_second": load.made / took,
        "wanted_per_second": load.wanted / took,
        "statements_per_second": load.statements / took,
        "wal_kib_per_second": written / 1024 / took,
        **{f"{kind}_p99_milliseconds": 1000 * load.p99(kind) for kind in KINDS},
        "behind_p99_milliseconds": 1000 * behind,
    }
    done = (
        f"{nodes:,} nodes with an epoch of {SIDE_BY_SIDE} runs each {epoch_seconds:g} s, from {processes} "
        f"processes for {took:.0f} s"
    )
    return Figures(done, measured)


def _played(url: str, parts: list[Part]) -> tuple[Load, float, int]:
    """What came of all parts together, how long it took and how much the server wrote into its log."""
    context = multiprocessing.get_context("spawn")
    ready, begins, results = context.Semaphore(0), context.Value("d", 0.0), context.Queue()
    workers = [
        context.Process(target=_play_part, args=(part, ready, begins, results), daemon=True)
        for part in parts
    ]
    for worker in workers:
        worker.start()
    for _ in workers:
        if not ready.acquire(timeout=PATIENCE_SECONDS):
            raise TimeoutError("the nodes did not get their runs")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")  # as a server does by itself that is not of tests
    before, begun = _written(url), time.monotonic()
    begins.value = begun
    load = Load()
    for _ in workers:
        load.add(results.get(timeout=PATIENCE_SECONDS))
    took = time.monotonic() - begun
    written = _written(url) - before
    for worker in workers:
        worker.join()
    return load, took, written


def _written(url: str) -> int:
    with psycopg.connect(url) as connection:
        [position] = connection.execute("SELECT pg_current_wal_lsn() - '0/0'").fetchone() or (0,)
        return int(position)
