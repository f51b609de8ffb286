"""A PostgreSQL server that stands still or crashes while writers commit."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from ablate.store.writing.store import Store
from tests.torture.acknowledged import count_duplicates, count_lost, count_unfinished, query
from tests.torture.figures import Figures
from tests.torture.postgres import server
from tests.torture.processes import Started, count_tracebacks, start
from tests.torture.study import keys, wide_plan
from tests.torture.writer import Writing, main_of

EPOCHS = 4


def stall_postgres(folder: Path, *, times: int, writers: int, seed: int = 1) -> Figures:
    """Stall the server or restart it as after a crash, in turn; begin writers anew that gave up."""
    begun, rng = time.monotonic(), np.random.default_rng(seed)
    plan = wide_plan(folder, 2_000, epochs=EPOCHS)
    files: list[Path] = []

    def begin(wanted: list[str]) -> Started:
        files.append(folder / f"writer{len(files)}.jsonl")
        writing = Writing(url, wanted, EPOCHS, files[-1])
        return start(files[-1].with_suffix(".log"), main_of, writing)

    with server() as (postgres, url):
        store = Store(url)
        store.register(plan)
        store.close()
        alive, gave_up = [begin(keys(plan)) for _ in range(writers)], 0
        for number in range(times):
            time.sleep(rng.uniform(0.2, 0.8))
            if number % 2:
                postgres.restart()
            else:
                postgres.stall()
                time.sleep(rng.uniform(0.5, 2.0))
                postgres.go_on()
            time.sleep(0.3)
            for i, writer in enumerate(alive):
                if not writer.alive:
                    gave_up += 1
                    alive[i] = begin(keys(plan))
        for writer in alive:
            writer.kill()
        touched = [row[0] for row in query(url, _TOUCHED)]
        failed = begin(touched).wait()
        logs = [file.with_suffix(".log") for file in files]
        measured: dict[str, float] = {
            "lost": count_lost(url, *files),
            "duplicates": count_duplicates(url, *files),
            "unfinished": count_unfinished(url, EPOCHS, touched),
            "tracebacks": count_tracebacks(*logs) + failed,
            "writers_that_gave_up": gave_up,
            "seconds": time.monotonic() - begun,
        }
    done = (
        f"{(times + 1) // 2} stalls, {times // 2} restarts, {writers} writers, {len(touched)} runs"
    )
    return Figures(done, measured)


_TOUCHED = "SELECT run_key FROM runs WHERE attempts > 0"
