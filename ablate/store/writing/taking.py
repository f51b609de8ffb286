"""Taking runs: which are ready, and cohorts of them, inside the transaction of the caller.

Statements are built once: putting one together takes longer than running it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import JSON, Connection, Select, bindparam, case, func, insert, select, update

from ablate.result import RunStatus
from ablate.result.status import READY
from ablate.store import schema
from ablate.store.statements import listed_keys
from ablate.store.writing.claims import LATE, LOST, NODE, Claim
from ablate.system.process.clock import now
from ablate.system.process.owner import Owner

PAGE = 100

_runs, _free = schema.runs, schema.runs.alias()
_PATH = JSON(none_as_null=True)

# SQLite locks the whole file and knows no FOR UPDATE, which is left out for it.
_unlocked = (
    select(_free.c.run_key)
    .where(_free.c.run_key == bindparam("key"), _free.c.status.in_(READY))
    .with_for_update(skip_locked=True)
    .scalar_subquery()
)

_TAKE = (
    update(_runs)
    .where(_runs.c.run_key == _unlocked)
    .values(
        status=RunStatus.RUNNING,
        token=bindparam("token"),
        attempts=_runs.c.attempts + 1,
        heartbeat=0,
        owner_host=bindparam("owner_host"),
        owner_pid=bindparam("owner_pid"),
        owner_started=bindparam("owner_started"),
        started_at=bindparam("started_at"),
        finished_at=None,
        failure=None,
        error=None,
        environment_id=None,
        path=case((_runs.c.attempts == 0, bindparam("path", type_=_PATH)), else_=_runs.c.path),
    )
    .returning(_runs.c.attempts)
)
"""Claims a run that is ready and that nobody else is claiming; returns the attempt's number, or nothing. The
first attempt begins it under `path`."""


@cache
def _ready_queries(dialect: str) -> tuple[Select[Any], Select[Any]]:
    """A page of those of the runs `keys` that are ready, as (place, key) after the place `last`; and
    how many are ready. All keys are one parameter: thousands would take longer than the query.
    """
    listed = listed_keys(dialect)
    is_ready = (_runs.c.run_key == listed.c.value) & _runs.c.status.in_(READY)
    page = (
        select(listed.c.key, _runs.c.run_key)
        .where(is_ready, listed.c.key > bindparam("last"))
        .order_by(listed.c.key)
        .limit(PAGE)
    )
    return page, select(func.count()).where(is_ready)


def ready(connection: Connection, run_keys: Sequence[str]) -> Iterator[str]:
    """Those of these runs that can be trained, in their order; looks no further than it is asked."""
    query = _ready_queries(connection.dialect.name)[0]
    last, page = -1, 1
    while page:
        rows = connection.execute(query, {"keys": run_keys, "last": last}).all()
        for place, key in rows:
            last = place
            yield key
        page = len(rows)


def count_ready(connection: Connection, run_keys: Sequence[str]) -> int:
    """How many of these runs can be trained."""
    query = _ready_queries(connection.dialect.name)[1]
    return connection.scalar(query, {"keys": run_keys}) or 0


def take(
    connection: Connection,
    owner: Owner,
    run_keys: Sequence[str],
    tokens: Sequence[Sequence[str]],
    group: Callable[[str], Hashable],
    begun: Callable[[str], Mapping[str, Any] | None],
) -> list[list[Claim]]:
    """Cohorts, one for each list of tokens: the first of these runs that is ready, and more of its group, one
    for each token. A run that nobody had before begins under the path that `begun` gives.

    A run that another process is claiming at this moment is passed over. Runs that lost their
    process or their time before are a group of their own.
    """
    alone = _alone(connection) if any(len(each) > 1 for each in tokens) else set()
    cohorts, rest = [], ready(connection, run_keys)
    for each in tokens:
        if len(each) > 1:
            rest = ready(connection, run_keys)  # of other groups were passed over
        taken = _take_cohort(
            rest,
            each,
            alone,
            group,
            lambda key, token: _take_one(connection, owner, key, token, begun),
        )
        if not taken:
            break
        cohorts.append(taken)
    return cohorts


def _take_cohort(
    keys: Iterator[str],
    tokens: Sequence[str],
    alone: Container[str],
    group: Callable[[str], Hashable],
    take_one: Callable[[str, str], Claim | None],
) -> list[Claim]:
    taken: list[Claim] = []
    together: Hashable = None
    for key in keys:
        if taken and (key in alone or group(key) != together):
            continue
        claim = take_one(key, tokens[len(taken)])
        if claim is not None:
            together = group(key)
            taken.append(claim)
            if len(taken) == len(tokens) or key in alone:
                break
    return taken


def held(connection: Connection, tokens: Sequence[str]) -> list[Claim]:
    """The runs that are claimed with these tokens, in the tokens' order."""
    runs, attempts = schema.runs, schema.attempts
    query = (
        select(runs.c.run_key, attempts.c.token, attempts.c.number)
        .join(runs, (runs.c.run_key == attempts.c.run_key) & (runs.c.token == attempts.c.token))
        .where(attempts.c.token.in_(tokens))
    )
    found = [Claim(*row) for row in connection.execute(query)]
    return sorted(found, key=lambda claim: tokens.index(claim.token))


def _alone(connection: Connection) -> set[str]:
    """Runs that were in a process that died or took too long: nobody knows whose fault that was."""
    attempts = schema.attempts
    query = select(attempts.c.run_key).where(attempts.c.outcome.in_((LOST, NODE, LATE)))
    return set(connection.scalars(query))


def _take_one(
    connection: Connection,
    owner: Owner,
    run_key: str,
    token: str,
    begun: Callable[[str], Mapping[str, Any] | None],
) -> Claim | None:
    started = now()
    taken = {
        "key": run_key,
        "token": token,
        "owner_host": owner.host,
        "owner_pid": owner.pid,
        "owner_started": owner.started,
        "started_at": started,
        "path": begun(run_key),
    }
    number = connection.scalars(_TAKE, taken).one_or_none()
    if number is None:
        return None
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
