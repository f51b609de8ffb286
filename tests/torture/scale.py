"""A database of 10,000 runs: how long it takes to look at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tomllib
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import insert, update

from ablate.plan import Plan, make_plan
from ablate.result import Finished
from ablate.store import schema
from ablate.store.connection.engine import WRITE, open_engine
from ablate.store.writing.rows import add_environment
from ablate.store.writing.store import Store
from ablate.study.file import parse_study
from tests.torture.figures import Figures
from tests.torture.pretended import ENVIRONMENT, epoch_of, result_of
from tests.torture.processes import ROOT
from tests.torture.study import STUDY, keys, make_images

STAMPS = {"started_at": "2026-01-01T00:00:00.000Z", "finished_at": "2026-01-01T00:01:00.000Z"}

READ = """
import json, re, sys, time
from pathlib import Path
from ablate.store.reading.frames import read_frames
before = time.perf_counter()
frames = read_frames(*sys.argv[1:])
seconds = time.perf_counter() - before
# Not of getrusage, which remembers the memory of the process that started this one.
memory = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
print(json.dumps([seconds, memory, len(frames.epochs)]))
"""
"""The report's queries, in a process of their own: its memory is theirs (and pandas')."""


def fill(url: str, plan: Plan, runs: int, *, steps: int) -> None:
    """Give the first runs of a registered plan their epochs, each with so many steps, and results."""
    engine = open_engine(url, create=False)
    chosen, count = keys(plan)[:runs], plan.study.recipe.epochs
    columns = [c.name for c in schema.epochs.columns]
    with engine.execution_options(**WRITE).begin() as connection:
        environment = add_environment(connection, ENVIRONMENT)
        for key in chosen:
            epochs = [epoch_of(key, number) for number in range(1, count + 1)]
            rows = [{"run_key": key, **asdict(epoch)} for epoch in epochs]
            kept = [{k: v for k, v in row.items() if k in columns} for row in rows]
            connection.execute(insert(schema.epochs), kept)
            of_steps = [
                {"run_key": key, **asdict(epoch.steps[0]), "step": step, "epoch": epoch.epoch}
                for epoch in epochs
                for step in range((epoch.epoch - 1) * steps, epoch.epoch * steps)
            ]
            if of_steps:
                connection.execute(insert(schema.steps), of_steps)
            values = _columns(result_of(key)) | STAMPS | {"environment_id": environment}
            mine = schema.runs.c.run_key == key
            connection.execute(
                update(schema.runs).where(mine).values(status="finished", attempts=1, **values)
            )
    engine.dispose()


def _columns(result: Finished) -> dict[str, object]:
    return {k: v for k, v in asdict(result).items() if k in schema.runs.c}


def measure_scale(folder: Path, *, seeds: int, epochs: int, commands: bool) -> Figures:
    """Read a study of eight variants that are all trained but the last seed, as a report does; with
    `commands` plan it and look at its status by the real commands too, each a new Python.
    """
    study, images = folder / "large.toml", make_images(folder)
    document = tomllib.loads(STUDY) | {"seeds": seeds}
    document["recipe"]["epochs"] = epochs
    study.write_text(_as_toml(seeds, epochs))
    plan = make_plan(parse_study(document, "torture"), images)
    url = f"sqlite:///{folder / 'results.db'}"
    store = Store(url)
    begun = time.monotonic()
    store.register(plan)
    registered = time.monotonic() - begun
    store.close()
    fill(url, plan, len(plan.cells) - 8, steps=0)
    plan_seconds = status_seconds = float("nan")
    known = not commands
    if commands:
        plan_seconds, _ = _command("plan", str(study), "--db", url, "--data", str(images))
        status_seconds, known = _command("status", "--db", url)
    [seconds, mib, rows] = _read(url, plan)
    measured = {
        "plan_seconds": plan_seconds,
        "status_seconds": status_seconds if known else float("nan"),
        "report_seconds": seconds,
        "report_mib": mib,
        "register_seconds": registered,
    }
    done = f"{len(plan.cells):,} runs × {epochs} epochs, {rows:,.0f} epochs read"
    if not known:
        done += "; there is no `ablate status` yet"
    return Figures(done, measured)


def _as_toml(seeds: int, epochs: int) -> str:
    return STUDY.replace("seeds = 1", f"seeds = {seeds}").replace(
        "epochs = 6", f"epochs = {epochs}"
    )


def _command(*arguments: str) -> tuple[float, bool]:
    """How long a command takes, Python's start included, and whether there is such a command."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "ablate", *arguments],
        cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = time.monotonic() - begun
    if done.returncode == 2 and "No such command" in done.stderr:
        return seconds, False
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-2000:])
    return seconds, True


def _read(url: str, plan: Plan) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", READ, url, plan.study.name, plan.study.setting],
        cwd=ROOT, env=_environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    figures: list[float] = json.loads(done.stdout)
    return figures


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
