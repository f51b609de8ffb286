"""The statements of a claim, built once: putting one together takes longer than running it."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import JSON, Select, bindparam, case, func, select, update

from ablate.result import RunStatus
from ablate.result.status import READY
from ablate.store import schema
from ablate.store.connection.statements import listed_keys

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

TAKE = (
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
def ready_queries(dialect: str) -> tuple[Select[Any], Select[Any]]:
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
