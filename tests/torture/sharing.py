"""Many at once: processes that claim the same cells, and a study that is started several times."""

from __future__ import annotations

import time
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from ablate.store.maintenance.health import check_integrity
from ablate.store.writing.store import Store
from tests.torture.acknowledged import count_duplicates, count_unfinished, query, wait_until
from tests.torture.figures import Figures
from tests.torture.life import Life, drive
from tests.torture.postgres import server
from tests.torture.processes import count_tracebacks, start
from tests.torture.study import keys, tiny_plan, wide_plan


def claim_together(folder: Path, *, processes: int, cells: int, url: str | None = None) -> Figures:
    """Let processes claim until nothing is left."""
    url = url or f"sqlite:///{folder / 'results.db'}"
    plan, go = wide_plan(folder, cells), folder / "go"
    store = Store(url)
    store.register(plan)
    store.close()
    files = [folder / f"claimed{number}" for number in range(processes)]
    started = [
        start(file.with_suffix(".log"), _claim_all, url, keys(plan), file, go) for file in files
    ]
    wait_until(lambda: all(file.with_suffix(".ready").exists() for file in files))
    go.touch()
    begun = time.monotonic()
    errors = sum(process.wait() != 0 for process in started)
    seconds = time.monotonic() - begun
    claimed = [key for file in files if file.exists() for key in file.read_text().split()]
    measured = {
        "double": len(claimed) - len(set(claimed)),
        "unclaimed": len(set(keys(plan)) - set(claimed)),
        "errors": errors + count_tracebacks(*(file.with_suffix(".log") for file in files)),
        "seconds": seconds,
        "milliseconds_a_claim": 1000 * seconds / max(1, len(claimed)),
    }
    return Figures(f"{processes} processes, {len(claimed):,} claims", measured)


def claim_together_on_postgres(folder: Path, *, processes: int, cells: int) -> Figures:
    """The same on a PostgreSQL server of our own."""
    with server() as (_, url):
        return claim_together(folder, processes=processes, cells=cells, url=url)


def _claim_all(url: str, run_keys: list[str], file: Path, go: Path) -> None:
    store, mine = Store(url), []
    file.with_suffix(".ready").touch()
    while not go.exists():
        time.sleep(0.001)
    while claims := store.claim_cohort(run_keys, 1, lambda run_key: run_key):
        mine += [claim.run_key for claim in claims]
    store.close()
    file.write_text("\n".join(mine))


def start_together(folder: Path, *, drivers: int, rounds: int) -> Figures:
    """Start the same study several times at once where there is no database yet."""
    plan, begun = tiny_plan(folder, epochs=1), time.monotonic()
    measured = dict.fromkeys(("schemas", "unfinished", "duplicates", "tracebacks", "failed"), 0)
    for number in range(rounds):
        here = folder / f"round{number}"
        here.mkdir()
        url = f"sqlite:///{here / 'deep' / 'results.db'}"
        files = [here / f"driver{i}.jsonl" for i in range(drivers)]
        logs = [file.with_suffix(".log") for file in files]
        started = [
            start(log, drive, Life(plan, url, file)) for log, file in zip(logs, files, strict=True)
        ]
        measured["failed"] += sum(process.wait() != 0 for process in started)
        measured["schemas"] += _schemas(url)
        measured["unfinished"] += count_unfinished(url, 1, keys(plan))
        measured["duplicates"] += count_duplicates(url, *files)
        measured["tracebacks"] += count_tracebacks(*logs)
    done = f"{rounds} rounds of {drivers} drivers, {len(plan.cells)} runs each"
    faults = {"wrong_schemas": abs(measured.pop("schemas") - rounds), **measured}
    return Figures(done, {**faults, "seconds": time.monotonic() - begun})


def _schemas(url: str) -> int:
    """1 where the database is whole and was made once."""
    try:
        versions = query(url, "SELECT version_num FROM ablate_version")
    except DBAPIError:
        return 0
    return len(versions) if check_integrity(url) == [] else 0
