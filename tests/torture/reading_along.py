"""A report that is read while others write: it waits for nobody long, and nobody for it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from ablate.plan import Plan
from ablate.store.reading.frames import Frames, read_frames
from ablate.store.reading.moment import reading_a_copy
from ablate.store.writing.store import Store
from tests.torture.acknowledged import count_duplicates, count_lost, read
from tests.torture.figures import Figures
from tests.torture.processes import count_tracebacks, end_together, start
from tests.torture.scale import fill
from tests.torture.study import keys, wide_plan
from tests.torture.writer import Writing, write_runs

STEPS = 8
"""Stored steps of an epoch: a run of 50 epochs has about 400."""


def read_along(
    folder: Path, *, writers: int, seconds: float, stored_runs: int, epochs: int
) -> Figures:
    """Read a study as a report does, over and over, while processes write it; then let them write
    alone, to see how long they wait for each other.

    A report blocks writers while it copies the database, and no longer.
    """
    plan = wide_plan(folder, 3_000, epochs=epochs)
    url = f"sqlite:///{folder / 'results.db'}"
    store = Store(url)
    store.register(plan)
    store.close()
    fill(url, plan, stored_runs, steps=STEPS)
    rest = keys(plan)[stored_runs:]
    files = [folder / f"writer{number}.jsonl" for number in range(writers)]
    started = [
        start(file.with_suffix(".log"), write_runs, Writing(url, rest, epochs, file))
        for file in files
    ]
    reads, locks, torn = _read_for(url, plan, seconds)
    along = _longest(files)
    alone = _alone(files, seconds)
    end_together(started)
    measured = {
        "inconsistent": torn,
        "lost": count_lost(url, *files),
        "duplicates": count_duplicates(url, *files),
        "tracebacks": count_tracebacks(*(file.with_suffix(".log") for file in files)),
        "longest_lock_seconds": max(locks),
        "median_lock_seconds": float(np.median(locks)),
        "longest_read_seconds": max(reads),
        "median_read_seconds": float(np.median(reads)),
        "longest_write_seconds": along,
        "longest_write_alone_seconds": alone,
    }
    return Figures(f"{len(reads)} reads of {stored_runs}+ runs, {writers} writers", measured)


def _read_for(url: str, plan: Plan, seconds: float) -> tuple[list[float], list[float], int]:
    """How long each read took, how long it kept others from writing (waiting for them included), and
    how many saw what no moment had.
    """
    reads: list[float] = []
    locks: list[float] = []
    torn, end = 0, time.monotonic() + seconds
    while time.monotonic() < end or not reads:
        begun = time.monotonic()
        with reading_a_copy(url):
            locks.append(time.monotonic() - begun)
        begun = time.monotonic()
        frames = read_frames(url, plan.study.name, plan.study.setting)
        reads.append(time.monotonic() - begun)
        torn += not _consistent(frames)
    return reads, locks, torn


def _consistent(frames: Frames) -> bool:
    """Every table speaks of one moment: epochs as counted, steps for each, the finished ones whole."""
    epochs = frames.epochs.groupby("run_key").size()
    steps = frames.steps.groupby("run_key").size()
    counted = frames.runs.set_index("run_key")["epochs"]
    counted = counted[counted > 0]
    finished = frames.runs[frames.runs["status"] == "finished"]
    # One step for each epoch from the writers, more in the runs that were there before.
    each = steps.sort_index() / epochs.sort_index()
    return bool(
        counted.sort_index().equals(epochs.sort_index().astype(counted.dtype))
        and each.isin((1, STEPS)).all()
        and (finished["epochs"] == frames.study["recipe"]["epochs"]).all()
    )


def _longest(files: list[Path]) -> float:
    return max((line["seconds"] for file in files for line in read(file, "waited")), default=0.0)


def _alone(files: list[Path], seconds: float) -> float:
    """The longest wait of a writer in the time that begins now, in which nobody reads."""
    before = {file: len(read(file, "waited")) for file in files}
    time.sleep(seconds)
    waited = [x["seconds"] for file in files for x in read(file, "waited")[before[file] :]]
    return max(waited, default=0.0)
