"""What other processes do in tests of the store; a module of its own, so that they load no torch."""

from __future__ import annotations

import multiprocessing

from ablate.store.store import Store


def claim_all(url: str, run_keys: list[str], queue: multiprocessing.Queue[list[str]]) -> None:
    """Claim until nothing is left; send what was claimed."""
    store, mine = Store(url), []
    while claimed := store.claim_cohort(run_keys, 1, str):
        mine += [claim.run_key for claim in claimed]
    queue.put(mine)


def open_and_close(url: str) -> None:
    """Open a database, which makes it if it is missing."""
    Store(url).close()
