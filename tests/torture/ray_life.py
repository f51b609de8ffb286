"""The life of a driver whose runs sleep as tasks of a Ray that others have started."""

from __future__ import annotations

import pickle
import sys
from dataclasses import dataclass
from pathlib import Path

from ablate.drive.driver import Driver
from ablate.drive.options import TrainingOptions
from ablate.errors import AblateError
from ablate.execute import Where, make_executor
from ablate.plan import Plan
from ablate.store.writing.store import Store
from tests.torture.acknowledged import Acknowledgements
from tests.torture.sleepers import Sleeping


@dataclass(frozen=True)
class RayLife:
    """What it does and where, and how long each run sleeps."""

    plan: Plan
    url: str
    acknowledged: Path
    address: str
    seconds: float


def main(file: str) -> int:
    """Have the runs of a pickled life sleep until none is left."""
    life: RayLife = pickle.loads(Path(file).read_bytes())
    store = Store(life.url)
    store.register(life.plan)
    how = TrainingOptions(device="cpu", cohort=1)
    try:
        with make_executor("ray", 2, Where(ray_address=life.address)) as executor:
            sleeping = Sleeping(executor, life.seconds)
            Driver(life.plan, store, sleeping, Acknowledgements(life.acknowledged), how).run()
    except AblateError as error:
        print(f"ablate: {error}", file=sys.stderr)
        return 2
    store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
