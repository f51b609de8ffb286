"""kill -9 at random moments: of drivers that train for real, and of writers that only write."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from ablate.plan import Plan
from ablate.store.maintenance.health import check_integrity
from ablate.store.writing.store import Store
from tests.torture.acknowledged import (
    count_duplicates,
    count_lost,
    count_unfinished,
    query,
    read,
    wait_for,
    wait_until,
)
from tests.torture.figures import Figures
from tests.torture.life import Life, drive
from tests.torture.processes import Started, cold, count_tracebacks, outlived, start
from tests.torture.study import keys, tiny_plan, wide_plan
from tests.torture.writer import Writing, write_runs

RESULTS = """
SELECT r.run_key, r.val_accuracy, r.test_accuracy, r.test_loss, r.test_correct, r.weights_sha256,
       e.epoch, e.train_loss, e.train_accuracy, e.val_loss, e.val_accuracy, e.learning_rate
FROM runs r JOIN epochs e ON e.run_key = r.run_key ORDER BY r.run_key, e.epoch
"""
"""All that training computes; what only its speed decides is left out."""

Counts = dict[str, int]


@dataclass
class _Round:
    """One database, from nothing until its study is complete."""

    folder: Path
    plan: Plan
    lives: int = 0
    files: list[Path] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder / 'results.db'}"

    def life(self, workers: int = 2) -> Life:
        self.lives += 1
        self.folder.mkdir(exist_ok=True)
        self.files.append(self.folder / f"life{self.lives}.jsonl")
        return Life(self.plan, self.url, self.files[-1], workers=workers)

    @property
    def log(self) -> Path:
        return self.files[-1].with_suffix(".log")

    def outcome(self) -> tuple[list[object], dict[str, bytes]]:
        """The numbers and the weights that the study ended with."""
        weights = {p.name: p.read_bytes() for p in (self.folder / "weights").glob("*.safetensors")}
        return list(query(self.url, RESULTS)), weights

    def judge(self, expected: tuple[list[object], dict[str, bytes]]) -> Counts:
        rows, weights = self.outcome()
        return {
            "lost": count_lost(self.url, *self.files),
            "duplicates": count_duplicates(self.url, *self.files),
            "unfinished": count_unfinished(
                self.url, self.plan.study.recipe.epochs, keys(self.plan)
            ),
            "unequal": int(rows != expected[0]) + int(weights != expected[1]),
            "damaged": len(check_integrity(self.url)),
            "tracebacks": count_tracebacks(*(f.with_suffix(".log") for f in self.files)),
        }


def kill_drivers(
    folder: Path, *, kills: int, cold_every: int, epochs: int = 6, seed: int = 1
) -> Figures:
    """Kill a driver with two workers again and again; each study is completed in the end.

    Every other kill waits for the driver's first stored epoch. Every `cold_every`th driver is a new
    Python whose workers are too (0: none is), the others are forked.
    """
    rng = np.random.default_rng(seed)
    plan, begun = tiny_plan(folder, epochs=epochs), time.monotonic()
    peace = _Round(folder / "peace", plan)
    start(folder / "peace.log", drive, peace.life(workers=0)).wait()
    expected = peace.outcome()
    total: Counts = {"kills": 0, "after_first_epoch": 0, "workers_left": 0}
    for number in itertools.count():
        if total["kills"] >= kills:
            break
        this = _Round(folder / f"round{number}", plan)
        _kill_until_complete(this, total, kills, cold_every, rng)
        for name, value in this.judge(expected).items():
            total[name] = total.get(name, 0) + value
        total["rounds"] = number + 1
    seconds = time.monotonic() - begun
    done = f"{total['kills']} kills, {total['after_first_epoch']} after the first stored epoch"
    share = total["after_first_epoch"] / total["kills"]
    return Figures(done, {**total, "share_after_first_epoch": share, "seconds": seconds})


def _kill_until_complete(
    this: _Round, total: Counts, kills: int, cold_every: int, rng: np.random.Generator
) -> None:
    while True:
        enough = total["kills"] >= kills
        is_cold = cold_every > 0 and this.lives % cold_every == cold_every - 1
        life = this.life()
        if is_cold and not enough:
            children = _kill_a_cold_one(this, life, total, rng)
        else:
            driver = start(this.log, drive, life)
            if enough or not _reaches(driver, this, total, rng):
                if driver.wait() != 0:
                    raise RuntimeError(f"a driver failed: {this.log.read_text()[-2000:]}")
                return
            children = driver.kill()
        total["kills"] += 1
        total["after_first_epoch"] += bool(read(this.files[-1], "epoch"))
        total["workers_left"] += outlived(children)
        # Nobody has gone on from here yet: what was told must be there at this very moment.
        if Path(this.folder / "results.db").exists() and read(this.files[-1], "epoch"):
            total["lost"] = total.get("lost", 0) + count_lost(this.url, this.files[-1])


def _reaches(driver: Started, this: _Round, total: Counts, rng: np.random.Generator) -> bool:
    """Wait for the moment of the kill; False if the study is complete before it."""
    if total["kills"] % 2 == 0:
        wait_for(this.files[-1], "epoch", 1, driver)
        time.sleep(rng.uniform(0, 0.25))
    else:
        time.sleep(rng.uniform(0, 0.8))
    return driver.alive


def _kill_a_cold_one(
    this: _Round, life: Life, total: Counts, rng: np.random.Generator
) -> list[psutil.Process]:
    process = cold(this.log, "tests.torture.life", life)
    if total["kills"] % 2 == 0:
        wait_until(lambda: bool(read(this.files[-1], "epoch")) or process.poll() is not None)
        time.sleep(rng.uniform(0, 0.25))
    else:
        time.sleep(rng.uniform(0, 8.0))
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    return children


def kill_writers(folder: Path, *, kills: int, writers: int, seed: int = 1) -> Figures:
    """Kill one of several writers at a time and begin another in its place; then let them finish."""
    rng, epochs = np.random.default_rng(seed), 4
    plan = wide_plan(folder, 4_000 if kills > 20 else 200)
    url, run_keys = f"sqlite:///{folder / 'results.db'}", keys(plan)
    store = Store(url)
    store.register(plan)
    store.close()
    files: list[Path] = []

    def begin(wanted: list[str]) -> Started:
        files.append(folder / f"writer{len(files)}.jsonl")
        return start(
            files[-1].with_suffix(".log"), write_runs, Writing(url, wanted, epochs, files[-1])
        )

    begun = time.monotonic()
    alive = [begin(run_keys) for _ in range(writers)]
    for _ in range(kills):
        time.sleep(rng.uniform(0.02, 0.4))
        chosen = int(rng.integers(writers))
        alive[chosen].kill()
        alive[chosen] = begin(run_keys)
    for writer in alive:
        writer.kill()
    touched = [row[0] for row in query(url, "SELECT run_key FROM runs WHERE attempts > 0")]
    failed = begin(touched).wait()
    measured: dict[str, float] = {
        "lost": count_lost(url, *files),
        "duplicates": count_duplicates(url, *files),
        "unfinished": count_unfinished(url, epochs, touched),
        "damaged": len(check_integrity(url)),
        "tracebacks": count_tracebacks(*(file.with_suffix(".log") for file in files)) + failed,
        "runs": len(touched),
        "seconds": time.monotonic() - begun,
    }
    return Figures(f"{kills + writers} kills of {writers} writers, {len(touched)} runs", measured)
