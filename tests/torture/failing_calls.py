"""fsync, write and rename that fail, one call at a time, under strace."""

from __future__ import annotations

import re
import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ablate.store.maintenance.health import check_integrity
from ablate.store.writing.store import Store
from tests.torture.acknowledged import count_duplicates, count_lost, count_unfinished, query, read
from tests.torture.figures import CannotBeDone, Figures
from tests.torture.pretended import weights_of
from tests.torture.processes import cold, count_tracebacks, start
from tests.torture.study import keys, wide_plan
from tests.torture.writer import Writing, write_runs

CALLS = ("fsync", "fdatasync", "write", "pwrite64", "rename", "renameat", "renameat2")
ERRORS = ("EIO", "ENOSPC")
EPOCHS = 2


@dataclass(frozen=True)
class _Case:
    """The `number`th call of that name fails with that error."""

    call: str
    number: int
    error: str


def fail_calls(
    folder: Path, *, at_most: int, runs: int, side_by_side: int, seed: int = 1
) -> Figures:
    """Let each call in turn fail while a writer writes; go on afterwards without a fault.

    `at_most` cases are done, chosen at random if there are more (0: all of them).
    """
    if shutil.which("strace") is None:
        raise CannotBeDone("strace is not installed")
    begun, plan = time.monotonic(), wide_plan(folder, runs)
    blank = folder / "blank"
    store = Store(f"sqlite:///{blank / 'results.db'}")
    store.register(plan)
    store.close()
    cases = _cases(_count_calls(folder, blank, keys(plan)))
    if 0 < at_most < len(cases):
        chosen = np.random.default_rng(seed).choice(len(cases), at_most, replace=False)
        cases = [cases[i] for i in sorted(chosen)]
    with ThreadPoolExecutor(side_by_side) as pool:
        outcomes = list(pool.map(lambda case: _fail(folder, blank, keys(plan), case), cases))
    total: Counter[str] = Counter()
    for outcome in outcomes:
        total.update(outcome)
    names = ("false_successes", "lost", "duplicates", "unfinished", "unclear", "damaged", "stopped")
    measured: dict[str, float] = {name: total[name] for name in names}
    done = f"{len(cases)} calls failed: {', '.join(sorted({case.call for case in cases}))}"
    return Figures(done, {**measured, "seconds": time.monotonic() - begun})


def _strace(folder: Path, blank: Path, run_keys: list[str], name: str, *options: str) -> tuple[
    Writing, int
]:  # fmt: skip
    """Let a writer run under strace on a copy of the blank database; returns its exit code too."""
    here = folder / name
    shutil.copytree(blank, here)
    writing = Writing(f"sqlite:///{here / 'results.db'}", run_keys, EPOCHS, here / "told.jsonl")
    process = cold(
        here / "log", "tests.torture.writer", writing, wrapper=["strace", "-f", "-qq", *options]
    )
    return writing, process.wait(120)


def _count_calls(folder: Path, blank: Path, run_keys: list[str]) -> Counter[str]:
    """How often a writer makes each call when none fails."""
    trace = folder / "trace"
    traced = f"trace={','.join(CALLS)}"
    _, code = _strace(folder, blank, run_keys, "counted", "-o", str(trace), "-e", traced)
    if code != 0:
        log = (folder / "counted" / "log").read_text()
        if "ptrace" in log.lower():
            raise CannotBeDone(f"strace may not trace here: {log.strip().splitlines()[-1]}")
        raise RuntimeError(f"the writer failed without a fault: {log[-2000:]}")
    return Counter(re.findall(rf"\b({'|'.join(CALLS)})\(", trace.read_text()))


def _cases(counted: Counter[str]) -> list[_Case]:
    return [
        _Case(call, number, error)
        for call in CALLS
        for number in range(1, counted[call] + 1)
        for error in ERRORS
    ]


def _fail(folder: Path, blank: Path, run_keys: list[str], case: _Case) -> Counter[str]:
    name = f"{case.call}-{case.number}-{case.error}"
    inject = f"inject={case.call}:error={case.error}:when={case.number}"
    options = ["-o", "/dev/null", "-e", f"trace={case.call}", "-e", inject]
    writing, code = _strace(folder, blank, run_keys, name, *options)
    here = folder / name
    log = (here / "log").read_text()
    found: Counter[str] = Counter()
    found["stopped"] = int(code != 0)
    clear = log.startswith("ablate: ") and log.count("\n") == 1 and code == 2
    found["unclear"] = int(not clear) if code != 0 or log else 0
    found["false_successes"] = _false_successes(writing)
    again = replace(writing, acknowledged=here / "again.jsonl")
    process = start(here / "again.log", write_runs, again)
    files = (writing.acknowledged, again.acknowledged)
    found["unfinished"] = int(process.wait() != 0)
    found["unfinished"] += count_unfinished(writing.url, EPOCHS, run_keys)
    found["unclear"] += count_tracebacks(here / "again.log")
    found["lost"] = count_lost(writing.url, *files) + _missing_weights(writing, run_keys)
    found["duplicates"] = count_duplicates(writing.url, *files)
    found["damaged"] = len(check_integrity(writing.url))
    shutil.rmtree(here)
    return found


def _false_successes(writing: Writing) -> int:
    """What the writer was told is stored and is not, before anybody goes on."""
    lost = count_lost(writing.url, writing.acknowledged)
    finished = [line["run_key"] for line in read(writing.acknowledged, "finished")]
    named = query(writing.url, "SELECT run_key, epoch, file FROM checkpoints")
    folder = Path(writing.url.removeprefix("sqlite:///")).parent / "checkpoints"
    there = {(key, epoch) for key, epoch, file in named if (folder / file).exists()}
    told = {(x["run_key"], x["epoch"]) for x in read(writing.acknowledged, "checkpoint")}
    told = {(key, epoch) for key, epoch in told if key not in finished}
    return lost + len(told - there) + _missing_weights(writing, finished)


def _missing_weights(writing: Writing, run_keys: list[str]) -> int:
    folder = Path(writing.url.removeprefix("sqlite:///")).parent / "weights"
    files = {key: folder / f"{key}.safetensors" for key in run_keys}
    return sum(
        not file.exists() or file.read_bytes() != weights_of(key) for key, file in files.items()
    )
