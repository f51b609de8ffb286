"""Nodes of a Ray that go away at once, as machines do: one that trains, and the head."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil

from ablate.plan import Plan
from tests.torture.acknowledged import (
    count_duplicates,
    count_unfinished,
    read,
    wait_until,
)
from tests.torture.figures import Figures
from tests.torture.postgres import server
from tests.torture.processes import cold, count_tracebacks
from tests.torture.ray_life import RayLife
from tests.torture.ray_nodes import Nodes, free_port, is_worker, running_nodes
from tests.torture.study import keys, wide_plan

PATIENCE_SECONDS = 180.0
BEGINNING_SECONDS = 240.0
"""Until both nodes train: each worker loads a Python, on a machine that may do other things."""

OVER = ("finished", "failed")
"""How a run ends: one that failed goes on no more, and is counted as unfinished."""


def kill_nodes(folder: Path, *, times: int, sleep_seconds: float) -> Figures:
    """Kill one of two nodes while both train, again and again, and give the cluster a new one each time."""
    plan = wide_plan(folder, 8 + 8 * times, epochs=1)
    taken_over: list[float] = []
    with server() as (_, url), running_nodes(folder, free_port(), 2) as nodes:
        life = RayLife(plan, url, folder / "driver.jsonl", nodes.address, sleep_seconds)
        log = folder / "driver.log"
        with _driver(life, log) as driver:
            for number in range(times):
                _wait_for_both(nodes)
                taken_over.append(_kill_one(nodes, life.acknowledged, driver))
                if number < times - 1:
                    nodes.add()
            driver.wait(PATIENCE_SECONDS + 8 * times * sleep_seconds)
            code = driver.returncode
        return Figures(
            f"{times} nodes of a Ray killed, {len(plan.cells)} runs",
            {**_counts(url, plan, life.acknowledged), "exit_code": code,
             "tracebacks": count_tracebacks(log), "slowest_take_over_seconds": max(taken_over)},
        )  # fmt: skip


def _wait_for_both(nodes: Nodes) -> None:
    wait_until(lambda: len(_training(nodes)) == len(nodes.raylets), BEGINNING_SECONDS)


def _training(nodes: Nodes) -> list[int]:
    """The nodes that have a worker at work."""
    return [
        raylet
        for raylet in nodes.raylets
        if any(is_worker(p) and "IDLE" not in p.name() for p in _children(raylet))
    ]


def _children(raylet: int) -> list[psutil.Process]:
    try:
        return psutil.Process(raylet).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kill_one(nodes: Nodes, told: Path, driver: psutil.Popen) -> float:
    """How long after the death of a node every run that was under way has ended, or has begun again."""
    under_way, starts = _under_way(told), _count(told, "started")
    begun = time.monotonic()
    nodes.kill(nodes.raylets[0])
    wait_until(
        lambda: _all_go_on(told, under_way, starts) or driver.poll() is not None, PATIENCE_SECONDS
    )
    if driver.poll() is not None:
        raise RuntimeError(
            f"the driver ended with {driver.returncode} when a node was killed: see {told}"
        )
    return time.monotonic() - begun


def _all_go_on(told: Path, under_way: set[str], starts: Counter[str]) -> bool:
    ended, started = sum(map(partial(_count, told), OVER), Counter[str]()), _count(told, "started")
    return all(ended[key] or started[key] > starts[key] for key in under_way)


def _under_way(told: Path) -> set[str]:
    ended = sum(map(partial(_count, told), (*OVER, "given back")), Counter[str]())
    return set(_count(told, "started") - ended)


def _count(told: Path, kind: str) -> Counter[str]:
    return Counter(line["run_key"] for line in read(told, kind))


def kill_head(folder: Path, *, times: int, sleep_seconds: float) -> Figures:
    """Kill the head and the driver on it while another node trains; then begin both again."""
    measured: dict[str, float] = {}
    for number in range(times):
        here = folder / f"head{number}"
        here.mkdir()
        for name, value in _kill_head(here, sleep_seconds).items():
            is_count = not name.endswith("seconds")
            before = measured.get(name, 0.0)
            measured[name] = before + value if is_count else max(before, value)
    return Figures(f"head and driver killed and begun again {times} times", measured)


def _kill_head(folder: Path, sleep_seconds: float) -> dict[str, float]:
    plan, port = wide_plan(folder, 6, epochs=1), free_port()
    files = [folder / f"driver{number}.jsonl" for number in range(2)]
    with server() as (_, url):
        with running_nodes(folder, port, 1) as nodes:
            life = RayLife(plan, url, files[0], nodes.address, sleep_seconds)
            with _driver(life, folder / "driver0.log") as driver:
                _wait_for_both(nodes)
                begun = time.monotonic()
                nodes.kill_head()
                driver.kill()
            wait_until(lambda: not nodes.workers(), PATIENCE_SECONDS)
            stopped = time.monotonic() - begun
        with running_nodes(folder, port, 1) as nodes:
            life = RayLife(plan, url, files[1], nodes.address, 0.1)
            with _driver(life, folder / "driver1.log") as driver:
                driver.wait(BEGINNING_SECONDS)
                code = driver.returncode
        return {
            **_counts(url, plan, *files),
            "exit_code": code,
            "tracebacks": count_tracebacks(folder / "driver1.log"),
            "workers_stopped_seconds": stopped,
        }


def _counts(url: str, plan: Plan, *files: Path) -> dict[str, float]:
    return {
        "duplicates": count_duplicates(url, *files),
        "unfinished": count_unfinished(url, 1, keys(plan)),
    }


@contextmanager
def _driver(life: RayLife, log: Path) -> Iterator[psutil.Popen]:
    process = cold(log, "tests.torture.ray_life", life)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
