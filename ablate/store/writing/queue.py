"""The runs that wait to be trained: who takes which, who is alive, and what comes back."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine

from ablate.result import RunStatus
from ablate.store.connection.transaction import reading, transact, writing
from ablate.store.files import checkpoints
from ablate.store.progress.run_statuses import read_statuses
from ablate.store.writing import claims, taking
from ablate.store.writing.claims import Claim
from ablate.system.process.owner import Owner

CONTESTED_SECONDS = 5.0
"""How long runs that others are claiming at this very moment may make us wait."""


class Queue:
    """A part of `Store`: the runs of a database, before and between attempts at them."""

    _engine: Engine
    _url: str
    _owner: Owner

    def claim_cohort(
        self, run_keys: Sequence[str], at_most: int, group: Callable[[str], Hashable]
    ) -> list[Claim]:
        """Take the first of these runs that is ready, and more of its group up to `at_most` in all.

        No two callers get the same one. A run that lost its process or its time before is taken alone.
        """
        return next(iter(self.claim_cohorts(run_keys, [at_most], group)), [])

    def claim_cohorts(
        self,
        run_keys: Sequence[str],
        sizes: Sequence[int],
        group: Callable[[str], Hashable],
        begun: Callable[[str], Mapping[str, Any] | None] = lambda _key: None,
    ) -> list[list[Claim]]:
        """As many cohorts as there are sizes, each as `claim_cohort` takes one, in one transaction; fewer
        where there are not as many runs. A run that nobody had before begins under the path that `begun`
        gives.
        """
        tokens = [[secrets.token_hex(16) for _ in range(size)] for size in sizes]
        end = time.monotonic() + CONTESTED_SECONDS
        while not (claimed := self._claim(run_keys, tokens, group, begun)):
            if not self.ready(run_keys) or time.monotonic() > end:
                return []
            time.sleep(0.01)
        return claimed

    def _claim(
        self,
        run_keys: Sequence[str],
        tokens: Sequence[Sequence[str]],
        group: Callable[[str], Hashable],
        begun: Callable[[str], Mapping[str, Any] | None],
    ) -> list[list[Claim]]:
        tried = False

        def claim(connection: Connection) -> list[list[Claim]]:
            nonlocal tried
            # After a commit whose end nobody knows, what has these tokens is ours.
            before = [taking.held(connection, each) for each in tokens] if tried else []
            tried = True
            if any(before):
                return [cohort for cohort in before if cohort]
            return taking.take(connection, self._owner, run_keys, tokens, group, begun)

        return transact(self._engine, claim, writes=True)

    @reading
    def over(self, connection: Connection, run_keys: Sequence[str]) -> set[str]:
        """Those of these runs that have ended, well or not."""
        return claims.over(connection, run_keys)

    @reading
    def ready(self, connection: Connection, run_keys: Sequence[str]) -> int:
        """How many of these runs wait to be trained."""
        return taking.count_ready(connection, run_keys)

    @reading
    def ready_of(self, connection: Connection, run_keys: Sequence[str]) -> list[str]:
        """Those of these runs that wait to be trained, in their order."""
        return list(taking.ready(connection, run_keys))

    @reading
    def statuses(self, connection: Connection, run_keys: Sequence[str]) -> dict[str, RunStatus]:
        """The status of those of these runs that the database knows."""
        return read_statuses(connection, run_keys)

    @reading
    def paths(self, connection: Connection) -> dict[str, Mapping[str, Any]]:
        """Under which path the runs were begun that have a checkpoint, where that is known."""
        return checkpoints.paths(connection)

    @reading
    def unseen(self, connection: Connection, run_keys: Collection[str]) -> int:
        """How many of these runs can go on from checkpoints of which none can be seen from here."""
        return checkpoints.unseen(connection, self._url, run_keys)

    @writing
    def renew(self, connection: Connection, held: Iterable[Claim]) -> None:
        """Show that these attempts are alive."""
        claims.renew_all(connection, list(held))

    @reading
    def running(
        self,
        connection: Connection,
        run_keys: Collection[str],
        after: str = "",
        at_most: int | None = None,
    ) -> dict[str, tuple[Owner, str, int]]:
        """Which of these runs are being trained: by whom, under which token, and the heartbeat. With
        `at_most` that many are looked at, of all that are trained, from the key `after` on and round to it.
        """
        return claims.running(connection, run_keys, after, at_most)

    @writing
    def take_back(self, connection: Connection, run_key: str, token: str) -> bool:
        """Make a run whose worker is gone ready again; False if it has moved on meanwhile."""
        claim = Claim(run_key, token, 0)
        return claims.end(connection, claim, RunStatus.STOPPED, {}, "its process is gone")

    @writing
    def retry_failed(self, connection: Connection, run_keys: Sequence[str]) -> int:
        """Make failed runs ready again; returns how many."""
        return claims.retry_failed(connection, run_keys)
