"""The runs that a driver may still claim, a window of them at a time: a claim of the last run of a hundred
thousand costs what that of the first one did.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from ablate.store.writing.store import Claim, Store

WINDOW = 1_000
"""How many runs a claim looks at: more than a driver has slots, and little for one statement."""


class OpenRuns:
    """Runs in their order, without those that are known to be over."""

    def __init__(self, store: Store, run_keys: Iterable[str]) -> None:
        self._store = store
        self._keys = dict.fromkeys(run_keys)

    def add(self, run_keys: Iterable[str]) -> None:
        """These come behind the others."""
        self._keys |= dict.fromkeys(run_keys)

    def forget(self, run_key: str) -> None:
        """This one is over, or not wanted any more."""
        self._keys.pop(run_key, None)

    def ready(self) -> int:
        """How many can be claimed; of those behind the first window it is assumed."""
        window = self._window()
        return self._store.ready(window) + len(self._keys) - len(window)

    def claim(
        self,
        sizes: Sequence[int],
        group: Callable[[str], Hashable],
        begun: Callable[[str], Mapping[str, Any] | None],
    ) -> list[list[Claim]]:
        """Cohorts of those that are ready, as many as there are sizes or fewer; none where none is ready."""
        skipped = 0
        while window := self._window(skipped):
            cohorts = self._store.claim_cohorts(window, sizes, group, begun)
            if sum(map(len, cohorts)) < sum(sizes):
                over = self._store.over(window)  # by others: ours were forgotten
                for run_key in over:
                    del self._keys[run_key]
                skipped += len(window) - len(over)
            if cohorts:
                return cohorts
        return []

    def _window(self, skipped: int = 0) -> list[str]:
        return list(islice(self._keys, skipped, skipped + WINDOW))
