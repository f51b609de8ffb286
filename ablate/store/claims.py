"""Who trains which run: claims, heartbeats and ends, inside the transaction of the caller.

Every write of an attempt carries its token; a write whose token is no longer the run's changes
nothing and says so.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, insert, select, update

from ablate.store import schema
from ablate.store.owner import Owner
from ablate.store.rows import chunks, now

READY = ("planned", "stopped")
"""The states from which a run is trained; `failed` only after `retry_failed`."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to train one run: whoever holds the token."""

    run_key: str
    token: str
    attempt: int


class LostClaimError(Exception):
    """The run belongs to another attempt now; this one's write changed nothing."""


def ready(connection: Connection, run_keys: Sequence[str]) -> list[str]:
    """Those of these runs that can be trained, in their order."""
    runs = schema.runs
    found = {
        key
        for chunk in chunks(run_keys)
        for key in connection.scalars(
            select(runs.c.run_key).where(runs.c.run_key.in_(chunk), runs.c.status.in_(READY))
        )
    }
    return [key for key in run_keys if key in found]


def take(
    connection: Connection,
    owner: Owner,
    run_keys: Sequence[str],
    at_most: int,
    group: Callable[[str], Hashable],
) -> list[Claim]:
    """Claim the first of these runs that is ready, and more of its group."""
    free = ready(connection, run_keys)
    together = [key for key in free if group(key) == group(free[0])]
    return [_take_one(connection, owner, key) for key in together[:at_most]]


def _take_one(connection: Connection, owner: Owner, run_key: str) -> Claim:
    runs, started, token = schema.runs, now(), secrets.token_hex(16)
    taken = (
        update(runs)
        .where(runs.c.run_key == run_key)
        .values(
            status="running",
            token=token,
            attempts=runs.c.attempts + 1,
            heartbeat=0,
            owner_host=owner.host,
            owner_pid=owner.pid,
            owner_started=owner.started,
            started_at=started,
            finished_at=None,
            failure=None,
            error=None,
        )
    )
    number = connection.scalars(taken.returning(runs.c.attempts)).one()
    attempt = {
        "token": token,
        "run_key": run_key,
        "number": number,
        "started_at": started,
        "host": owner.host,
        "pid": owner.pid,
    }
    connection.execute(insert(schema.attempts), attempt)
    return Claim(run_key, token, number)


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


def running(connection: Connection, run_keys: Sequence[str]) -> dict[str, tuple[Owner, str, int]]:
    """Which of these runs are being trained: by whom, under which token, and the heartbeat."""
    runs = schema.runs
    owner = (runs.c.owner_host, runs.c.owner_pid, runs.c.owner_started)
    query = select(runs.c.run_key, *owner, runs.c.token, runs.c.heartbeat)
    return {
        key: (Owner(host, pid, started), token, heartbeat)
        for chunk in chunks(run_keys)
        for key, host, pid, started, token, heartbeat in connection.execute(
            query.where(runs.c.run_key.in_(chunk), runs.c.status == "running")
        )
    }


def end(
    connection: Connection,
    claim: Claim,
    status: str,
    values: Mapping[str, Any],
    error: str | None = None,
) -> bool:
    """End an attempt; False, and nothing changed, if it does not hold the run any more."""
    ended_at = now()
    finished_at = ended_at if status != "stopped" else None
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
        .values(finished_at=ended_at, outcome=status, error=error)
    )
    return True


def retry_failed(connection: Connection, run_keys: Sequence[str]) -> int:
    """Make failed runs ready again; returns how many."""
    runs = schema.runs
    again = update(runs).values(status="planned", failure=None, error=None, finished_at=None)
    return sum(
        connection.execute(
            again.where(runs.c.run_key.in_(chunk), runs.c.status == "failed")
        ).rowcount
        for chunk in chunks(run_keys)
    )


def _holds(claim: Claim) -> ColumnElement[bool]:
    return and_(schema.runs.c.run_key == claim.run_key, schema.runs.c.token == claim.token)
