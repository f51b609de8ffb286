"""The process inside a mount namespace: it mounts a small disk and runs into its end. No torch here."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.errors import AblateError
from ablate.store.maintenance.health import check_integrity
from ablate.store.writing.store import Store
from tests.torture.acknowledged import count_duplicates, count_lost, count_unfinished
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
