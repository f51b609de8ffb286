"""A thousand drivers on one PostgreSQL, played by a few connections: the store's own transactions, as often
as nodes make them that each train a share of the reference grid.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import psycopg
from sqlalchemy import event

from ablate.drive.driver import RENEW_SECONDS
from ablate.drive.open_runs import WINDOW
from ablate.drive.takeover import WATCHED
from ablate.store.store import Claim, Report, Store
from tests.torture.figures import Figures
from tests.torture.postgres import server
from tests.torture.pretended import ENVIRONMENT, epoch_of, result_of
from tests.torture.study import keys, wide_plan

EPOCHS = 50
GRID_EPOCH_SECONDS = 0.9
"""As the reference grid has them on one GPU, 6,750 in 600 s: 0.09 s each, of ten runs side by side."""
SIDE_BY_SIDE = 10
WATCH_SECONDS = 5.0
"""How often a driver looks at what the others train, at the most, when there is much of it."""


@dataclass
class Node:
    """What a driver has claimed, and what it does next."""

    claims: list[Claim] = field(default_factory=list)
    epoch: int = 0
    after: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass
class Load:
    """What the nodes did, and how long each kind of transaction took."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    late: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def time(self, kind: str, due: float, do: Callable[[], object]) -> object:
        begun = time.monotonic()
        found = do()
        with self._lock:
            self.seconds.setdefault(kind, []).append(time.monotonic() - begun)
            self.late.append(begun - due)
        return found

    def p99(self, kind: str) -> float:
        return float(np.percentile(self.seconds.get(kind, [float("nan")]), 99))


def measure_nodes(
    folder: Path,
    *,
    nodes: int,
    seconds: float,
    connections: int,
    epoch_seconds: float = GRID_EPOCH_SECONDS,
) -> Figures:
    """Let them claim, report and show that they live for so long, all at their own rate."""
    plan = wide_plan(folder, min(10_000, 4 * SIDE_BY_SIDE * nodes), epochs=EPOCHS)
    with server() as (_, url):
        store = Store(url)
        store.register(plan)
        load = Load()
        counted = _count_statements(store)
        before = _written(url)
        begun = time.monotonic()
        with ThreadPoolExecutor(connections) as pool:
            shares = [range(nodes)[each::connections] for each in range(connections)]
            ends = begun + seconds
            parts = [
                pool.submit(_play, store, keys(plan), share, ends, load, epoch_seconds)
                for share in shares
            ]
            for part in parts:
                part.result()
        took = time.monotonic() - begun
        after = _written(url)
        store.close()
    measured = {
        "statements_per_second": counted[0] / took,
        "transactions_per_second": sum(map(len, load.seconds.values())) / took,
        "wal_kib_per_second": (after - before) / 1024 / took,
        "claim_p99_milliseconds": 1000 * load.p99("claim"),
        "report_p99_milliseconds": 1000 * load.p99("report"),
        "watch_p99_milliseconds": 1000 * load.p99("watch"),
        "behind_p99_milliseconds": 1000 * float(np.percentile(load.late, 99)),
    }
    done = (
        f"{nodes:,} nodes with an epoch of {SIDE_BY_SIDE} runs each {epoch_seconds:g} s, on {connections} "
        f"connections for {took:.0f} s"
    )
    return Figures(done, measured)


def _play(
    store: Store, run_keys: list[str], share: range, ends: float, load: Load, epoch_seconds: float
) -> None:
    """The drivers of a share, one after the other, each when its time has come."""
    rng = np.random.default_rng(share.start)
    now = time.monotonic()
    drivers = {number: Node() for number in share}
    due = [(now + rng.uniform(0, epoch_seconds), number, "epoch") for number in share]
    due += [(now + rng.uniform(0, RENEW_SECONDS), number, "renew") for number in share]
    due += [(now + rng.uniform(0, WATCH_SECONDS), number, "watch") for number in share]
    every = {"epoch": epoch_seconds, "renew": RENEW_SECONDS, "watch": WATCH_SECONDS}
    while due:
        due.sort(reverse=True)
        when, number, kind = due.pop()
        if when > ends or time.monotonic() > ends:
            return
        time.sleep(max(0.0, when - time.monotonic()))
        _step(store, run_keys, drivers[number], kind, when, load)
        due.append((when + every[kind], number, kind))


def _step(
    store: Store, run_keys: list[str], node: Node, kind: str, when: float, load: Load
) -> None:
    if kind == "renew":
        if node.claims:
            load.time("renew", when, lambda: store.renew(node.claims))
    elif kind == "watch":
        load.time("watch", when, lambda: store.running(run_keys, node.after, WATCHED))
    elif not node.claims:
        found = load.time(
            "claim", when, lambda: store.claim_cohort(run_keys[:WINDOW], SIDE_BY_SIDE, lambda _: 0)
        )
        if not found:  # the first window is taken: as a driver that has passed it over
            found = load.time(
                "claim", when, lambda: store.claim_cohort(run_keys, SIDE_BY_SIDE, lambda _: 0)
            )
        node.claims, node.epoch = list(found), 0  # type: ignore[call-overload]
    else:
        node.epoch += 1
        load.time("report", when, lambda: store.report(_reports(node)))
        node.claims = node.claims if node.epoch < EPOCHS else []


def _reports(node: Node) -> list[Report]:
    made = [Report(each, epoch_of(each.run_key, node.epoch)) for each in node.claims]
    if node.epoch == EPOCHS:
        results = {
            each.run_key: replace(result_of(each.run_key), kept=None) for each in node.claims
        }
        made += [Report(each, results[each.run_key], ENVIRONMENT) for each in node.claims]
    return made


def _count_statements(store: Store) -> list[int]:
    counted = [0]

    @event.listens_for(store._engine, "before_cursor_execute")
    def _counted(
        _c: object, _cursor: object, _s: str, rows: object, _x: object, many: bool
    ) -> None:
        counted[0] += len(rows) if many else 1  # type: ignore[arg-type]

    return counted


def _written(url: str) -> int:
    with psycopg.connect(url) as connection:
        [position] = connection.execute("SELECT pg_current_wal_lsn() - '0/0'").fetchone() or (0,)
        return int(position)
