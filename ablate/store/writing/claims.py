"""Claims of runs, their heartbeats and ends, inside the transaction of the caller.

Every write of an attempt carries its token; a write whose token is no longer the run's changes
nothing and says so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select, update

from ablate.result import RunStatus
from ablate.store import schema
from ablate.store.statements import chunks, storable
from ablate.system.process.clock import now
from ablate.system.process.owner import Owner

NAMED = 500
"""How many runs a statement names one by one; of more it is quicker to look at all that are under way."""
LOST, NODE, LATE = "lost", "node lost", "late"
"""Outcomes of attempts that were stopped: their process died, their machine went away with it, or their
cohort took too long."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to train one run: whoever holds the token."""

    run_key: str
    token: str
    attempt: int

    @property
    def is_first(self) -> bool:
        """Whether nobody had this run before: nothing of it is stored."""
        return self.attempt == 1


class LostClaimError(Exception):
    """The run belongs to another attempt now; this one's write changed nothing."""

    def __init__(self, run_key: str) -> None:
        super().__init__(run_key)
        self.run_key = run_key


def touch(connection: Connection, claim: Claim) -> None:
    """Show that an attempt is alive, as every write of it does.

    Raises:
        LostClaimError: the run belongs to another attempt now.
    """
    if not renew(connection, claim):
        raise LostClaimError(claim.run_key)


def renew(connection: Connection, claim: Claim) -> bool:
    """Move an attempt's heartbeat; False if it does not hold the run any more."""
    runs = schema.runs
    moved = update(runs).where(_holds(claim)).values(heartbeat=runs.c.heartbeat + 1)
    return connection.execute(moved).rowcount == 1


def touch_all(connection: Connection, held: Collection[Claim]) -> None:
    """Show that all of these attempts are alive.

    Raises:
        LostClaimError: one of them lost its run, which the error names.
    """
    moved = renew_all(connection, held)
    for claim in held:
        if claim.run_key not in moved:
            raise LostClaimError(claim.run_key)


def renew_all(connection: Connection, held: Collection[Claim]) -> set[str]:
    """Move the heartbeats of those of these attempts that hold their runs; returns these runs."""
    runs, moved = schema.runs, set[str]()
    for chunk in chunks(list(held)):
        mine = (
            runs.c.run_key.in_([claim.run_key for claim in chunk]),
            runs.c.token.in_([claim.token for claim in chunk]),
        )
        beat = update(runs).where(*mine).values(heartbeat=runs.c.heartbeat + 1)
        moved |= set(connection.scalars(beat.returning(runs.c.run_key)))
    return moved


def keep_path(
    connection: Connection, claim: Claim, path: Mapping[str, Any], *, begins: bool
) -> None:
    """Store the path of a run that begins; of one that goes on only where none was known."""
    runs = schema.runs
    mine = _holds(claim) if begins else and_(_holds(claim), runs.c.path.is_(None))
    connection.execute(update(runs).where(mine).values(path=path))


def running(
    connection: Connection, run_keys: Collection[str], after: str = "", at_most: int | None = None
) -> dict[str, tuple[Owner, str, int]]:
    """Which of these runs are being trained: by whom, under which token, and the heartbeat. With `at_most`
    that many are looked at, of all that are trained, from the key `after` on and round to it.
    """
    runs = schema.runs
    owner = (runs.c.owner_host, runs.c.owner_pid, runs.c.owner_started)
    query = select(runs.c.run_key, *owner, runs.c.token, runs.c.heartbeat)
    query = query.where(runs.c.status == RunStatus.RUNNING)
    if len(run_keys) <= NAMED:
        query = query.where(runs.c.run_key.in_(run_keys))
    rows = _round(connection, query, after, at_most)
    wanted = set(run_keys) if rows else set()
    return {
        key: (Owner(host, pid, started), token, heartbeat)
        for key, host, pid, started, token, heartbeat in rows
        if key in wanted
    }


def _round(
    connection: Connection, query: Select[Any], after: str, at_most: int | None
) -> list[Any]:
    """All rows, or so many from a key on and round to it: along the index of the keys, which ends as soon as
    there are enough, where sorting all that a thousand drivers train takes a server most of its time.
    """
    key = schema.runs.c.run_key
    if at_most is None:
        return list(connection.execute(query))
    found: list[Any] = []
    for part in (key > after, key <= after):
        some = query.where(part).order_by(key).limit(at_most - len(found))
        found += connection.execute(some).all()
        if len(found) == at_most:
            break
    return found


def over(connection: Connection, run_keys: Sequence[str]) -> set[str]:
    """Those of these runs that have ended, well or not."""
    runs, ended = schema.runs, [status for status in RunStatus if status.is_over]
    query = select(runs.c.run_key).where(runs.c.status.in_(ended))
    return {
        key
        for chunk in chunks(run_keys)
        for key in connection.scalars(query.where(runs.c.run_key.in_(chunk)))
    }


def end(
    connection: Connection,
    claim: Claim,
    status: RunStatus,
    values: Mapping[str, Any],
    error: str | None = None,
    outcome: str | None = None,
) -> bool:
    """End an attempt; False, and nothing changed, if it does not hold the run any more. `outcome`
    says more about the attempt than the status that its run gets.
    """
    ended_at = now()
    finished_at = ended_at if status.is_over else None
    ended = (
        update(schema.runs)
        .where(_holds(claim))
        .values(status=status, token=None, finished_at=finished_at, **values)
    )
    if connection.execute(ended).rowcount != 1:
        return False
    attempts = schema.attempts
    connection.execute(
        update(attempts)
        .where(attempts.c.token == claim.token)
        .values(finished_at=ended_at, outcome=outcome or status, error=storable(error))
    )
    return True


def has_ended(connection: Connection, claim: Claim, outcome: str) -> bool:
    """Whether an attempt has ended so already: its commit was made, but not heard of."""
    attempts = schema.attempts
    query = select(attempts.c.outcome).where(attempts.c.token == claim.token)
    return connection.scalar(query) == outcome


def times_lost(connection: Connection, claim: Claim, outcome: str = LOST) -> int:
    """How many earlier attempts of a run ended so, since it last failed."""
    attempts, before = schema.attempts, schema.attempts.alias()
    failed = (
        select(func.coalesce(func.max(before.c.number), 0))
        .where(before.c.run_key == claim.run_key, before.c.outcome == "failed")
        .scalar_subquery()
    )
    lost = select(func.count()).where(
        attempts.c.run_key == claim.run_key,
        attempts.c.outcome == outcome,
        attempts.c.number > failed,
        attempts.c.token != claim.token,
    )
    return connection.scalar(lost) or 0


def retry_failed(connection: Connection, run_keys: Sequence[str]) -> int:
    """Make failed runs ready again; returns how many."""
    runs = schema.runs
    again = update(runs).values(
        status=RunStatus.PLANNED, failure=None, error=None, finished_at=None
    )
    return sum(
        connection.execute(
            again.where(runs.c.run_key.in_(chunk), runs.c.status == RunStatus.FAILED)
        ).rowcount
        for chunk in chunks(run_keys)
    )


def _holds(claim: Claim) -> ColumnElement[bool]:
    return and_(schema.runs.c.run_key == claim.run_key, schema.runs.c.token == claim.token)
