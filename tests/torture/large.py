"""A database of 100,000 runs on PostgreSQL: how long the commands take that look at it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import psycopg

from ablate.plan import make_plan
from ablate.store.connection.engine import WRITE, open_engine
from ablate.store.writing.rows import add_environment
from ablate.store.writing.store import Store
from ablate.study.file import parse_study
from tests.torture.figures import Figures
from tests.torture.postgres import server
from tests.torture.pretended import ENVIRONMENT
from tests.torture.scale import _as_toml, _environment
from tests.torture.study import make_images

LEFT = 10
"""Cells of the last seed, which nobody has trained."""

MEASURED = """
import json, re, sys, time
from pathlib import Path
before = time.perf_counter()
sys.argv = ["ablate", *sys.argv[1:]]
from ablate import cli
code = 0
try:
    cli.main()
except SystemExit as end:
    code = int(end.code or 0)
memory = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
print("\\n" + json.dumps([code, memory]))
"""
"""A command in a process of its own, which tells its exit code and its memory (MiB)."""

RUNS = """
UPDATE runs SET status = 'finished', attempts = 1, seconds = 1, train_images_per_second = 500,
    device = 'pretended', precision = 'fp32', environment_id = %(environment)s, unmoved_attention = '',
    test_loss = 1, test_correct = '\\xf0', started_at = '2026-01-01T00:00:00.000Z',
    finished_at = '2026-01-01T00:01:00.000Z', val_accuracy = drawn.share, test_accuracy = drawn.share
FROM (SELECT run_key, 0.4 + 0.2 * (('x' || substr(md5(run_key), 1, 7))::bit(28)::int) / 268435456.0 AS share
      FROM cells WHERE ordinal < %(count)s) AS drawn
WHERE runs.run_key = drawn.run_key
"""
EPOCHS = """
INSERT INTO epochs (run_key, epoch, train_loss, train_accuracy, val_loss, val_accuracy, learning_rate,
                    seconds, images_per_second)
SELECT run_key, number, 2.0 / number, 0.5, 2.0 / number, val_accuracy, 0.001, 0.1, 500
FROM runs, generate_series(1, %(epochs)s) AS number WHERE status = 'finished'
"""


def measure_large(folder: Path, *, seeds: int, epochs: int) -> Figures:
    """Plan, look at and report a study of ten variants, all trained but the last seed."""
    study, images = folder / "large.toml", make_images(folder)
    text = _as_toml(seeds, epochs).replace("[3, 5, 7]", "[3, 5, 7, 9, 11]")  # ten variants
    study.write_text(text)
    plan = make_plan(parse_study(tomllib.loads(text), "torture"), images)
    with server() as (_, url):
        begun = time.monotonic()
        store = Store(url)
        store.register(plan)
        store.close()
        registered = time.monotonic() - begun
        _fill(url, len(plan.cells) - LEFT, epochs)
        common = ("--db", url)
        # What the networks are is found once for all, whatever the number of seeds.
        _command(folder, "plan", str(study), *common, "--data", str(images), "--seeds", "1")
        planned, plan_mib = _command(folder, "plan", str(study), *common, "--data", str(images))
        looked, _ = _command(folder, "status", *common)
        reported, report_mib = _command(
            folder,
            "report",
            str(study),
            *common,
            "--data",
            str(images),
            "--out",
            str(folder / "out"),
        )
    measured = {
        "plan_seconds": planned,
        "status_seconds": looked,
        "report_seconds": reported,
        "plan_mib": plan_mib,
        "report_mib": report_mib,
        "register_seconds": registered,
    }
    return Figures(f"{len(plan.cells):,} runs × {epochs} epochs on PostgreSQL", measured)


def _fill(url: str, count: int, epochs: int) -> None:
    """Let the server make up what these runs would have stored: rows that go through here take minutes."""
    engine = open_engine(url, create=False)
    with engine.execution_options(**WRITE).begin() as connection:
        environment = add_environment(connection, ENVIRONMENT)
    engine.dispose()
    with psycopg.connect(url) as server_of_tests:
        server_of_tests.execute(RUNS, {"environment": environment, "count": count})
        server_of_tests.execute(EPOCHS, {"epochs": epochs})
    with psycopg.connect(url, autocommit=True) as server_of_tests:
        server_of_tests.execute("VACUUM ANALYZE")  # as a server does by itself that is not of tests


def _command(folder: Path, *arguments: str) -> tuple[float, float]:
    """How long a command takes, Python's start included, and its memory (MiB)."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments],
        cwd=folder, env=_environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds = time.monotonic() - begun
    code, mib = json.loads(done.stdout.strip().splitlines()[-1])
    if code != 0:
        raise RuntimeError(done.stderr[-2000:])
    return seconds, mib
