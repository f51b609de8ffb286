"""A disk that is full: a small tmpfs in a mount namespace of its own."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ablate.errors import AblateError
from ablate.store.read import check_integrity
from ablate.store.store import Store
from tests.torture.acknowledged import count_duplicates, count_lost, count_unfinished
from tests.torture.figures import CannotBeDone, Figures
from tests.torture.processes import cold
from tests.torture.study import keys, wide_plan
from tests.torture.writer import Writing, write_runs

EPOCHS = 3
DISK_KIB = 4096


@dataclass(frozen=True)
class Filling:
    """The task of the process inside: for each size, how much of the disk is left to write to."""

    blank: Path
    disk: Path
    run_keys: list[str]
    left_kib: list[int]


def fill_disk(folder: Path, *, rounds: int, runs: int, seed: int = 1) -> Figures:
    """Let a writer run into a full disk at different moments; free it, and let it go on."""
    unshare = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-r", "-m"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*unshare, "true"], check=False).returncode
    ):
        raise CannotBeDone("mount namespaces are not allowed here")
    begun, plan = time.monotonic(), wide_plan(folder, runs)
    blank, disk = folder / "blank", folder / "disk"
    disk.mkdir()
    store = Store(f"sqlite:///{blank / 'results.db'}")
    store.register(plan)
    store.close()
    left = np.random.default_rng(seed).integers(8, 10 * runs, rounds).tolist()
    filling = Filling(blank, disk, keys(plan), left)
    process = cold(folder / "log", "tests.torture.full_disk", filling, wrapper=unshare)
    log = folder / "log"
    if process.wait(600) != 0:
        raise CannotBeDone(f"no tmpfs could be mounted: {log.read_text().strip()[-300:]}")
    measured = json.loads(log.read_text().splitlines()[-1])
    done = f"{rounds} disks, {measured['full']} of them full in the middle"
    return Figures(done, {**measured, "seconds": time.monotonic() - begun})


def main(file: str) -> int:
    """Inside: a tmpfs, then a writer on a copy of the blank database for each size."""
    filling: Filling = pickle.loads(Path(file).read_bytes())
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_KIB}k", "tmpfs", str(filling.disk)]
    if subprocess.run(mount, check=False).returncode:
        return 1
    total: Counter[str] = Counter(full=0, lost=0, duplicates=0, unfinished=0, unclear=0, damaged=0)
    for number, left_kib in enumerate(filling.left_kib):
        total.update(_fill(filling, number, left_kib))
    print(json.dumps(total))
    return 0


def _fill(filling: Filling, number: int, left_kib: int) -> Counter[str]:
    here, ballast = filling.disk / "results", filling.disk / "ballast"
    shutil.copytree(filling.blank, here)
    # What is told lies elsewhere: hearing of a success must not need the full disk.
    told = [filling.blank.parent / f"told{number}-{i}.jsonl" for i in range(2)]
    writing = Writing(f"sqlite:///{here / 'results.db'}", filling.run_keys, EPOCHS, told[0])
    free = shutil.disk_usage(filling.disk).free
    ballast.write_bytes(bytes(max(0, free - 1024 * left_kib)))
    found: Counter[str] = Counter()
    try:
        write_runs(writing)
    except AblateError as error:
        found["full"] += 1
        found["unclear"] += "\n" in str(error) or "run again" not in str(error)
    found["lost"] += count_lost(writing.url, told[0])
    ballast.unlink()
    _give_back(writing)
    write_runs(replace(writing, acknowledged=told[1]))
    found["lost"] += count_lost(writing.url, *told)
    found["duplicates"] += count_duplicates(writing.url, *told)
    found["unfinished"] += count_unfinished(writing.url, EPOCHS, filling.run_keys)
    found["damaged"] += len(check_integrity(writing.url))
    shutil.rmtree(here)
    return found


def _give_back(writing: Writing) -> None:
    """The writer that stopped was this very process, which lives on: nobody else would take over."""
    store = Store(writing.url)
    for run_key, (_, token, _) in store.running(writing.run_keys).items():
        store.take_back(run_key, token)
    store.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
