"""A disk that is full: a small tmpfs in a mount namespace of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np

from ablate.store.writing.store import Store
from tests.torture.figures import CannotBeDone, Figures
from tests.torture.filling import Filling
from tests.torture.processes import cold
from tests.torture.study import keys, wide_plan


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
    left = np.random.default_rng(seed).integers(8, 4 * runs, rounds).tolist()
    filling = Filling(blank, disk, keys(plan), left)
    process = cold(folder / "log", "tests.torture.filling", filling, wrapper=unshare)
    log = folder / "log"
    if process.wait(600) != 0:
        raise CannotBeDone(f"no tmpfs could be mounted: {log.read_text().strip()[-300:]}")
    measured = json.loads(log.read_text().splitlines()[-1])
    done = f"{rounds} disks, {measured['full']} of them full in the middle"
    return Figures(done, {**measured, "seconds": time.monotonic() - begun})
