"""A writer that trains nothing and loads no torch: claims, epochs, checkpoints and results as fast as
the store takes them.
"""

from __future__ import annotations

import pickle
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ablate.drive.takeover import TakeOver
from ablate.errors import AblateError
from ablate.store.writing.store import Claim, LostClaimError, Store
from ablate.system.process import owner
from tests.torture.acknowledged import Acknowledgements
from tests.torture.pretended import ENVIRONMENT, epoch_of, result_of, state_of


@dataclass(frozen=True)
class Writing:
    """What to write; `pause_seconds` comes before each epoch, `host` is where it says it is."""

    url: str
    run_keys: list[str]
    epochs: int
    acknowledged: Path
    pause_seconds: float = 0.0
    host: str | None = None


def write_runs(writing: Writing) -> None:
    """Bring these runs to their ends, together with whoever else does; takes over those of the dead."""
    if writing.host is not None:
        owner.host_id = lambda: str(writing.host)
    told = Acknowledgements(writing.acknowledged)
    store = Store(writing.url)
    takeover = TakeOver(store, writing.run_keys)
    while True:
        takeover.watch(())
        claims = store.claim_cohort(writing.run_keys, 1, lambda run_key: run_key)
        for claim in claims:
            _write(store, claim, writing, told)
        if not claims:
            if not store.running(writing.run_keys):
                break
            time.sleep(0.02)
    store.close()


def _write(store: Store, claim: Claim, writing: Writing, told: Acknowledgements) -> None:
    key = claim.run_key
    try:
        start = store.resume(claim)
        for number in range(start.epoch + 1 if start else 1, writing.epochs + 1):
            time.sleep(writing.pause_seconds)
            epoch = epoch_of(key, number)
            begun = time.monotonic()
            store.add_epoch(claim, epoch)
            told.write(kind="waited", seconds=time.monotonic() - begun)
            told.stored(key, epoch)
            store.add_checkpoint(claim, state_of(key, number))
            told.write(kind="checkpoint", run_key=key, epoch=number)
        result = result_of(key)
        store.finish(claim, result, ENVIRONMENT)
        told.finished(key, result)
    except LostClaimError:
        told.write(kind="lost claim", run_key=key)


def main(file: str) -> int:
    """Write what stands in a file; what the user must change is one line and exit code 2."""
    return _reported(pickle.loads(Path(file).read_bytes()))


def main_of(writing: Writing) -> None:
    """The same in a process that was begun warm."""
    sys.exit(_reported(writing))


def _reported(writing: Writing) -> int:
    try:
        write_runs(writing)
    except AblateError as error:
        print(f"ablate: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
