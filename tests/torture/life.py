"""The life of a driver: the real one, with real workers, or with a job that only pretends to train."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from ablate.drive import driver as driver_module
from ablate.drive import takeover
from ablate.drive.driver import Driver
from ablate.drive.options import TrainingOptions
from ablate.errors import AblateError
from ablate.execute import Executor, local, make_executor
from ablate.plan import Plan
from ablate.store.writing.store import Store
from ablate.system.process import owner
from tests.torture.acknowledged import Acknowledgements
from tests.torture.pretended import Paced


@dataclass(frozen=True)
class Life:
    """One driver. Without workers it trains in its own process; with `pause_seconds` it does not train
    at all. `host` is the machine that it says it is on, `lease_seconds` a shorter lease.
    """

    plan: Plan
    url: str
    acknowledged: Path
    workers: int = 0
    pause_seconds: float | None = None
    host: str | None = None
    lease_seconds: float | None = None


def drive(life: Life) -> None:
    """Make or open the database and train what is missing."""
    # Workers of a warm driver are forked as well: it has one thread and no open connection yet.
    local._CONTEXT = multiprocessing.get_context("fork")
    _drive(life)


def _drive(life: Life) -> None:
    torch.set_num_threads(1)
    pretend(life.host, life.lease_seconds)
    store = Store(life.url)
    store.register(life.plan)
    progress = Acknowledgements(life.acknowledged)
    how = TrainingOptions(device="cpu", checkpoint_seconds=0)
    with _executor(life) as executor:
        Driver(life.plan, store, executor, progress, how).run()
    store.close()


def pretend(host: str | None, lease_seconds: float | None) -> None:
    """From now on this process is on that machine, and has that lease."""
    if host is not None:
        owner.host_id = lambda: host
    if lease_seconds is not None:
        takeover.LEASE_SECONDS = lease_seconds
        driver_module.RENEW_SECONDS = lease_seconds / 6
        driver_module.POLL_SECONDS = min(1.0, lease_seconds / 10)


def _executor(life: Life) -> Executor:
    if life.pause_seconds is not None:
        return Paced(life.pause_seconds, life.plan.study.recipe.epochs)
    return make_executor("local", life.workers) if life.workers else make_executor("inprocess", 1)


def main(file: str) -> int:
    """A life from a cold start, as it stands in a file; workers are started as the program does."""
    life = pickle.loads(Path(file).read_bytes())
    try:
        _drive(life)
    except AblateError as error:
        print(f"ablate: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
