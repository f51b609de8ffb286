"""A checkpoint that was truncated, or has one other byte: found out, and the one before it used."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from ablate.plan import Plan
from tests.torture.acknowledged import query, read, wait_for
from tests.torture.figures import Figures
from tests.torture.kills import RESULTS
from tests.torture.life import Life, drive
from tests.torture.processes import start
from tests.torture.study import tiny_plan

EPOCHS = 5


def damage_checkpoints(folder: Path, *, times: int, seed: int = 1) -> Figures:
    """Interrupt a run that has two checkpoints, damage the newer one and let it go on."""
    begun, rng = time.monotonic(), np.random.default_rng(seed)
    plan = tiny_plan(folder, epochs=EPOCHS)
    # One run is enough, and the one with the most kinds of parameters: the last.
    plan = replace(plan, cells=plan.cells[-1:])
    peace, torn = folder / "peace", folder / "torn"
    peace.mkdir()
    whole = Life(plan, f"sqlite:///{peace / 'results.db'}", peace / "told.jsonl")
    start(peace / "log", drive, whole).wait()
    expected = _outcome(peace)
    newest = _interrupt(folder, plan, torn)
    measured = {"undetected": 0, "not_the_previous": 0, "unequal": 0}
    for number in range(times):
        here = folder / f"copy{number}"
        shutil.copytree(torn, here)
        _damage(here, rng, truncate=number % 2 == 0)
        life = Life(plan, f"sqlite:///{here / 'results.db'}", here / "resumed.jsonl")
        if start(here / "log", drive, life).wait() != 0:
            raise RuntimeError((here / "log").read_text()[-2000:])
        resumed = [line["epoch"] for line in read(life.acknowledged, "resumed")]
        measured["undetected"] += resumed == [newest]
        measured["not_the_previous"] += resumed != [newest - 1]
        measured["unequal"] += _outcome(here) != expected
        shutil.rmtree(here)
    done = f"{(times + 1) // 2} truncated, {times // 2} with one other byte"
    return Figures(done, {**measured, "seconds": time.monotonic() - begun})


def _interrupt(folder: Path, plan: Plan, torn: Path) -> int:
    """A killed run with two checkpoints; returns the epoch of the newer one."""
    for _ in range(50):
        shutil.rmtree(torn, ignore_errors=True)
        torn.mkdir()
        life = Life(plan, f"sqlite:///{torn / 'results.db'}", torn / "told.jsonl")
        driver = start(torn / "log", drive, life)
        wait_for(torn / "told.jsonl", "epoch", 3, driver)
        driver.kill()
        stored = query(life.url, "SELECT epoch FROM checkpoints ORDER BY epoch DESC")
        if len(stored) == 2:
            return int(stored[0][0])
    raise TimeoutError("no run was interrupted between its second checkpoint and its end")


def _damage(here: Path, rng: np.random.Generator, *, truncate: bool) -> None:
    [(name,)] = query(
        f"sqlite:///{here / 'results.db'}",
        "SELECT file FROM checkpoints ORDER BY epoch DESC LIMIT 1",
    )
    path = here / "checkpoints" / name
    content = bytearray(path.read_bytes())
    place = int(rng.integers(len(content)))
    if truncate:
        del content[place:]
    else:
        content[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)


def _outcome(folder: Path) -> tuple[list[object], dict[str, bytes]]:
    weights = {p.name: p.read_bytes() for p in (folder / "weights").glob("*.safetensors")}
    return list(query(f"sqlite:///{folder / 'results.db'}", RESULTS)), weights
