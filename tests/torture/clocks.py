"""A wall clock that is wrong by a day on one of two machines, or is set in the middle of a run."""

from __future__ import annotations

import shutil
import subprocess
import time
from datetime import datetime
from pathlib import Path

from ablate.plan import Plan
from ablate.store.writing.store import Store
from tests.torture.acknowledged import count_duplicates, count_unfinished, query, wait_for
from tests.torture.figures import CannotBeDone, Figures
from tests.torture.life import Life, drive
from tests.torture.processes import cold, count_tracebacks, start
from tests.torture.study import keys, tiny_plan
from tests.torture.waiting import TAKEN_OVER
from tests.torture.writer import Writing, write_runs

DAY = 86_400
RUN_TIMES = "SELECT started_at, finished_at FROM runs"
ATTEMPT_TIMES = "SELECT started_at, finished_at FROM attempts"


def shift_clock(folder: Path, *, days: list[int], jumps: list[bool], training: bool) -> Figures:
    """Two drivers share a study, one of them with a clock that is days off (or jumps while it trains);
    or two writers do, which train nothing.
    """
    shim, begun = _compile(folder), time.monotonic()
    measured = dict.fromkeys(
        ("take_overs", "negative_durations", "unfinished", "duplicates", "not_shifted"), 0
    )
    measured["tracebacks"] = 0
    for number, (shift, jump) in enumerate((d, j) for j in jumps for d in days):
        here = folder / f"clock{number}"
        here.mkdir()
        plan = tiny_plan(folder, epochs=3)
        url = f"sqlite:///{here / 'results.db'}"
        store = Store(url)
        store.register(plan)
        store.close()
        wrong, right = here / "wrong.jsonl", here / "right.jsonl"
        environment = {"LD_PRELOAD": str(shim), "TORTURE_CLOCK_SECONDS": str(shift * DAY)}
        if jump:
            environment["TORTURE_CLOCK_AFTER"] = "5"
        module = "tests.torture.life" if training else "tests.torture.writer"
        task = _task(plan, url, wrong, "one/boot", training=training)
        process = cold(here / "wrong.log", module, task, **environment)
        wait_for(wrong, "epoch")
        do = drive if training else write_runs
        other = start(
            here / "right.log", do, _task(plan, url, right, "two/boot", training=training)
        )
        failed = (process.wait(120) != 0) + (other.wait() != 0)
        measured["take_overs"] += query(url, TAKEN_OVER)[0][0]
        measured["negative_durations"] += _negative(url)
        measured["unfinished"] += failed + count_unfinished(url, 3, keys(plan))
        measured["duplicates"] += count_duplicates(url, wrong, right)
        measured["not_shifted"] += not jump and not _shifted(url)
        measured["tracebacks"] += count_tracebacks(here / "wrong.log", here / "right.log")
    done = f"{len(days) * len(jumps)} clocks wrong by a day, {sum(jumps) * len(days)} in mid-run"
    return Figures(done, {**measured, "seconds": time.monotonic() - begun})


def _task(plan: Plan, url: str, told: Path, host: str, *, training: bool) -> Life | Writing:
    if training:
        return Life(plan, url, told, workers=1, host=host)
    return Writing(url, keys(plan), 3, told, pause_seconds=0.02, host=host)


def _compile(folder: Path) -> Path:
    compiler, shim = shutil.which("gcc") or shutil.which("cc"), folder / "clock.so"
    if compiler is None:
        raise CannotBeDone("no C compiler is installed")
    source = Path(__file__).with_name("clock.c")
    subprocess.run(
        [compiler, "-O2", "-shared", "-fPIC", "-o", str(shim), str(source), "-ldl"], check=True
    )
    return shim


def _negative(url: str) -> int:
    """How many durations are negative, of those stored and of those between two stamps."""
    found = 0
    for (seconds,) in query(url, "SELECT seconds FROM epochs UNION ALL SELECT seconds FROM runs"):
        found += seconds is not None and seconds < 0
    for begun, ended in query(url, ATTEMPT_TIMES) + query(url, RUN_TIMES):
        if begun and ended:
            found += datetime.fromisoformat(ended) < datetime.fromisoformat(begun)
    return found


def _shifted(url: str) -> bool:
    """Whether the shim worked at all: some stamp is half a day away from now."""
    stamps = [datetime.fromisoformat(row[0]).timestamp() for row in query(url, ATTEMPT_TIMES)]
    return any(abs(stamp - time.time()) > DAY / 2 for stamp in stamps)
