"""What the tests of the search share: a search whose runs end at once, here or in another process."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from conftest import study_document

from ablate.drive.driver import Driver
from ablate.drive.options import TrainingOptions
from ablate.execute.base import Done, Executor, Job
from ablate.job import Cohort
from ablate.plan import Cell, Plan, make_plan
from ablate.result import Epoch, Failed, Finished
from ablate.search.cells import CellMaker
from ablate.search.mirror import OptunaMirror
from ablate.search.parts import Parts
from ablate.search.searcher import Searcher
from ablate.search.space import Space
from ablate.search.storage import open_storage, storage_url
from ablate.store.writing.store import Store
from ablate.store.writing.trials import Place, TrialStore, search_key
from ablate.study.file import parse_study

EPOCHS = 2
PARAMETERS = {
    "attention": ["se", "cbam"],
    "position": ["pool1", "pool*"],
    "reduction": [2, 8, 32],
    "kernel_size": [3, 7],
}
MANY = {
    **PARAMETERS,
    "position": ["pool1", "pool2", "pool3", "pool*"],
    "reduction": {"low": 1, "high": 32},
}
"""Several hundred networks, and among them points that build the same: all of r = 17 to 32 at pool1."""


class Instant(Executor):
    """Trains nothing: each run ends with an accuracy that depends on its variant and seed alone."""

    def __init__(self, slots: int = 1, seconds: float = 0.0, worse: str = "") -> None:
        self.slots, self._seconds, self._worse = slots, seconds, worse
        self._jobs: deque[tuple[str, Cohort]] = deque()
        self.trained: list[str] = []

    @property
    def free(self) -> int:
        return self.slots - len(self._jobs)

    def submit(self, job_id: str, job: Job) -> None:
        assert isinstance(job, Cohort)
        self._jobs.append((job_id, job))

    def wait(self, timeout_seconds: float) -> list[tuple[str, Any]]:
        time.sleep(self._seconds)
        job_id, job = self._jobs.popleft()
        events: list[tuple[str, Any]] = []
        for run in job.runs:
            value = accuracy(run.variant.name, job.seed, self._worse)
            for epoch in range(1, EPOCHS + 1):
                at = value - 0.1 * (EPOCHS - epoch)
                row = Epoch(epoch, 2.0, 0.5, 1.9, at, None, None, 1e-3, 2.0, 500.0)
                events.append((job_id, (run.run_key, row)))
            result = Finished(value, 0.5, 1.8, b"\xf0", 4.0, 500.0, "a machine", "fp32")
            events.append((job_id, (run.run_key, result)))
            self.trained.append(run.run_key)
        return [*events, (job_id, Done())]

    def cancel(self, job_id: str) -> None:
        self._jobs = deque(job for job in self._jobs if job[0] != job_id)

    def close(self) -> None: ...


def accuracy(variant: str, seed: int, worse: str = "") -> float:
    """Between 0.8 and 0.9, a tenth of it by the seed; 0.3 less where `worse` is in the name."""
    by_variant = int(hashlib.sha256(variant.encode()).hexdigest(), 16) % 1000 / 1000
    by_seed = int(hashlib.sha256(f"{variant}/{seed}".encode()).hexdigest(), 16) % 1000 / 1000
    return 0.8 + 0.09 * by_variant + 0.01 * by_seed - 0.3 * bool(worse and worse in variant)


class Quiet:
    """A Progress that tells the search of epochs, and drops what it prunes."""

    def __init__(self, searcher: Searcher) -> None:
        self.searcher = searcher
        self.driver: Driver | None = None
        self.dropped: list[str] = []

    def started(self, cell: Cell) -> None:
        self.searcher.begun(str(cell.run_key))

    def resumed(self, cell: Cell, epoch: int) -> None: ...
    def given_back(self, cell: Cell, why: str) -> None: ...

    def epoch(self, cell: Cell, epoch: Epoch) -> None:
        key = str(cell.run_key)
        if self.searcher.learned(key, epoch.epoch, epoch.val_accuracy):
            assert self.driver is not None
            self.dropped.append(key)
            self.driver.drop(key)

    def ended(self, cell: Cell, result: Finished | Failed) -> None: ...
    def note(self, text: str) -> None: ...


def search_plan(**search: Any) -> Plan:
    """A plan of a study whose grid is the baseline, with a search."""
    table = {"parameters": PARAMETERS, "trials": 10, "seeds": 2, "racing": False, **search}
    document = study_document(
        backbone="cbam_cnn", grid=[{"attention": "none"}], recipe={"epochs": EPOCHS}
    )
    return make_plan(parse_study({**document, "search": table}, "test"))


@dataclass(frozen=True)
class Databases:
    """Where the results are, and where Optuna's storage."""

    results: str
    storage: str

    @classmethod
    def in_folder(cls, folder: Path) -> Databases:
        return cls(f"sqlite:///{folder / 'r.db'}", f"sqlite:///{folder / 'optuna.db'}")


def make_searcher(
    plan: Plan,
    where: Path | Databases,
    said: list[str] | None = None,
    place: Place | None = None,
    retries: int | None = 0,
) -> Searcher:
    """A searcher on databases, which are made where they are missing."""
    search = plan.study.search
    assert search is not None
    space = Space(plan.study.backbone, search.parameters)
    databases = Databases.in_folder(where) if isinstance(where, Path) else where
    store = Store(databases.results)
    store.register(plan)
    store.close()
    key = search_key(plan.study, plan.dataset.label, str(plan.dataset.content_hash()))
    copy = storage_url(databases.storage, databases.results)
    storage = open_storage(copy, create=True)
    again = partial(open_storage, copy, create=True)
    mirror = OptunaMirror(storage, "small", search, space, EPOCHS, again)
    say = (said if said is not None else []).append
    trials = TrialStore(databases.results)
    maker = CellMaker(plan, space)
    parts = Parts(plan, search, space, key, trials, mirror, maker, say, place, retries=retries)
    return Searcher(parts)


def run_search(
    plan: Plan,
    where: Path | Databases,
    executor: Executor,
    said: list[str] | None = None,
    place: Place | None = None,
    retries: int | None = 0,
) -> Quiet:
    """A whole search, with the real driver and databases."""
    databases = Databases.in_folder(where) if isinstance(where, Path) else where
    searcher = make_searcher(plan, databases, said, place, retries)
    nothing = Plan(plan.study, plan.dataset, plan.names, plan.variants, plan.aliases, ())
    progress = Quiet(searcher)

    def feed(driver: Driver) -> bool:
        cells, again = searcher.more(driver.slots)
        driver.add(cells)
        return again

    store = Store(databases.results)
    driver = Driver(nothing, store, executor, progress, TrainingOptions(device="cpu"), feed)
    progress.driver = driver
    driver.run()
    store.close()
    searcher.parts.store.close()
    searcher.parts.mirror.close()
    return progress


def real_plan(**search: Any) -> Plan:
    """A search whose runs are trained: one epoch of the digits, a second each."""
    table = {"parameters": {"attention": "se", "position": ["pool1", "pool3"], "reduction": 16},
             "objectives": ["val_accuracy", "parameters"], "trials": 5, "seeds": 1, **search}  # fmt: skip
    recipe = {"epochs": 1, "batch_size": 64, "augment": []}
    document = study_document(backbone="cbam_cnn", grid=[{"attention": "none"}], recipe=recipe)
    return make_plan(parse_study({**document, "search": table}, "test"))
