"""The status of many runs at once: of those that somebody names, or of a whole study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, FromClause, Select, func, select

from ablate.result import RunStatus
from ablate.store import schema
from ablate.store.connection.engine import database_exists, reading
from ablate.store.statements import chunks, listed_keys

if TYPE_CHECKING:
    from ablate.study import Study

AT_ONCE = 10_000
"""How many keys go into one question, as one parameter."""
BETWEEN = ","


def stored_statuses(url: str, run_keys: Sequence[str]) -> dict[str, RunStatus]:
    """The status of runs that a database knows; nothing is known where there is no database.

    Raises:
        DatabaseError: there is one, but it is not ours or newer.
    """
    if not database_exists(url):
        return {}
    with reading(url) as connection:
        return read_statuses(connection, run_keys)


def stored_of_study(
    url: str, study: Study, content: str, run_keys: Sequence[str]
) -> tuple[dict[str, RunStatus], Counter[RunStatus]]:
    """The status of those of these runs that a database knows, of whichever study, and how many runs this
    one has beside them, by status: those that its search has asked for, or that were added until a verdict.

    Raises:
        DatabaseError: there is one, but it is not ours or newer.
    """
    if not database_exists(url):
        return {}, Counter()
    cells, runs, asked = schema.cells, schema.runs, set(run_keys)
    query = by_status(runs).join(cells, cells.c.run_key == runs.c.run_key)
    mine = (cells.c.study == study.name, cells.c.dataset_hash == content)
    with reading(url) as connection:
        rows = connection.execute(query.where(*mine, cells.c.setting == study.setting))
        known = _taken_apart(rows)
        others = [key for key in run_keys if key not in known]
        found = read_statuses(connection, others) if others else {}
    found |= {key: known[key] for key in run_keys if key in known}
    return found, Counter(status for key, status in known.items() if key not in asked)


def read_statuses(connection: Connection, run_keys: Sequence[str]) -> dict[str, RunStatus]:
    """The status of those of these runs that the database knows."""
    query, found = status_query(connection.dialect.name), dict[str, RunStatus]()
    for chunk in chunks(run_keys, AT_ONCE):
        found |= _taken_apart(connection.execute(query, {"keys": chunk}))
    return found


@cache
def status_query(dialect: str) -> Select[Any]:
    """Those of the runs `keys` that are known, as `by_status` has them."""
    listed, runs = listed_keys(dialect), schema.runs
    return by_status(listed).join(runs, runs.c.run_key == listed.c.value)


def by_status(source: FromClause) -> Select[Any]:
    """A row for each status with the keys of all its runs, a comma between them: a row for each of a hundred
    thousand runs takes a second to be read. Begins at `source`, to which `runs` is joined if it is not that.
    """
    runs = schema.runs
    keys = func.aggregate_strings(runs.c.run_key, BETWEEN)
    return select(runs.c.status, keys).select_from(source).group_by(runs.c.status)


def _taken_apart(rows: Iterable[Any]) -> dict[str, RunStatus]:
    """Key → status, of what `by_status` gave."""
    return {key: status for status, keys in rows for key in keys.split(BETWEEN)}
