"""Many sleeping runs through Ray, on PostgreSQL: how many a second one driver stores, and its memory."""

from __future__ import annotations

import resource
from pathlib import Path

import psutil

from ablate.drive.driver import Driver
from ablate.drive.options import TrainingOptions
from ablate.errors import OptionError
from ablate.execute import make_executor
from ablate.plan import Cell
from ablate.result import Failed, Finished
from ablate.store.writing.store import Store
from tests.torture.acknowledged import count_duplicates, count_unfinished
from tests.torture.figures import CannotBeDone, Figures
from tests.torture.postgres import server
from tests.torture.ray_overhead import Clock
from tests.torture.sleepers import Sleeping
from tests.torture.study import keys, wide_plan


class Watched(Clock):
    """Remembers the driver's memory at each end, too."""

    def __init__(self) -> None:
        super().__init__()
        self.mib: list[float] = []
        self._self = psutil.Process()

    def ended(self, cell: Cell, result: Finished | Failed) -> None:
        super().ended(cell, result)
        self.mib.append(self._self.memory_info().rss / 2**20)


def measure_many(folder: Path, *, runs: int, workers: int, sleep_seconds: float) -> Figures:
    """Every run a task of its own. What starts once, Ray and its workers, is left out: the first tenth."""
    plan, clock = wide_plan(folder, runs, epochs=1), Watched()
    with server() as (_, url):
        store = Store(url)
        store.register(plan)
        try:
            inner = make_executor("ray", workers)
        except OptionError as error:
            raise CannotBeDone(str(error)) from error
        with inner:
            how = TrainingOptions(device="cpu", cohort=1)
            cpu = _cpu_seconds()
            Driver(plan, store, Sleeping(inner, sleep_seconds), clock, how).run()
            cpu = _cpu_seconds() - cpu
        store.close()
        left = count_unfinished(url, 1, keys(plan))
        duplicates = count_duplicates(url)
    first = len(clock.ends) // 10
    seconds = clock.ends[-1] - clock.ends[first]
    measured = {
        "unfinished": left,
        "duplicates": duplicates,
        "runs_per_second": (len(clock.ends) - 1 - first) / seconds,
        "driver_cpu_milliseconds_a_run": 1000 * cpu / runs,
        "driver_mib": clock.mib[-1],
        "driver_growth": clock.mib[-1] / clock.mib[first] - 1,
    }
    return Figures(f"{runs:,} runs of {sleep_seconds:g} s with {workers} workers of Ray", measured)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
