"""The status of many runs at once: of those that somebody names, or of a whole study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, FromClause, Select, func, select

from ablate.result import RunStatus
from ablate.store import schema
from ablate.store.connection.engine import database_exists, reading
from ablate.store.statements import chunks, listed_keys, of_other_code
from ablate.study.began import began_so
from ablate.study.own_code import NO_SOURCES, Sources

if TYPE_CHECKING:
    from ablate.study import Study

AT_ONCE = 10_000
"""How many keys go into one question, as one parameter."""
BETWEEN = ","


@dataclass(frozen=True)
class Stored:
    """What a database has of a study: the status of its runs, and how many it has beside them, by status.

    Those `outside` are what its search has asked for, or of seeds and variants that the plan lacks; those of
    `others` are of networks that are called as its variants and are others, as before their code was edited;
    those `of_other_code` lack the user's metric that the plan has, or were measured by one before; those
    `of_other_weights` began with other weights than its networks do now.
    """

    statuses: dict[str, RunStatus] = field(default_factory=dict)
    outside: Counter[RunStatus] = field(default_factory=Counter)
    others: Counter[RunStatus] = field(default_factory=Counter)
    of_other_code: Counter[RunStatus] = field(default_factory=Counter)
    of_other_weights: Counter[RunStatus] = field(default_factory=Counter)


def stored_of_study(
    url: str,
    study: Study,
    content: str,
    run_keys: Sequence[str],
    networks: Mapping[str, str],
    sources: Sources = NO_SOURCES,
    weights: str | None = None,
) -> Stored:
    """What a database has of these runs, of whichever study, and of this study beside them; `networks` are
    the fingerprints of its variants, `sources` are the hashes of the user's functions, `weights` is the
    SHA-256 of those that its networks begin with.

    Raises:
        DatabaseError: there is one, but it is not ours or newer.
    """
    if not database_exists(url):
        return Stored()
    cells, runs, asked = schema.cells, schema.runs, set(run_keys)
    query = by_status(runs).join(cells, cells.c.run_key == runs.c.run_key)
    mine = (cells.c.study == study.name, cells.c.dataset_hash == content)
    with reading(url) as connection:
        rows = connection.execute(query.where(*mine, cells.c.setting == study.setting))
        known = _taken_apart(rows)
        others = [key for key in run_keys if key not in known]
        found = read_statuses(connection, others) if others else {}
        beside = known.keys() - asked
        here = (*mine, cells.c.setting == study.setting)
        other = _of_others(connection, here, networks) & beside if beside else set()
        otherwise = _otherwise(connection, here, sources) & beside - other if beside else set()
        rest = beside - other - otherwise
        begun = (
            _begun_otherwise(connection, here, study, content, weights) & rest if rest else set()
        )
    found |= {key: known[key] for key in run_keys if key in known}
    return Stored(
        found,
        outside=Counter(known[key] for key in rest - begun),
        others=Counter(known[key] for key in other),
        of_other_code=Counter(known[key] for key in otherwise),
        of_other_weights=Counter(known[key] for key in begun),
    )


def _of_others(
    connection: Connection, here: Sequence[ColumnElement[bool]], networks: Mapping[str, str]
) -> set[str]:
    """Runs of a study whose variant is a network of another fingerprint now."""
    cells, runs = schema.cells, schema.runs
    query = select(cells.c.run_key, cells.c.variant, runs.c.fingerprint).join(runs).where(*here)
    rows = connection.execute(query)
    return {
        key for key, name, fingerprint in rows if networks.get(name, fingerprint) != fingerprint
    }


def _otherwise(
    connection: Connection, here: Sequence[ColumnElement[bool]], sources: Sources
) -> set[str]:
    """Runs of a study that other functions of the user's have trained or measured than those of now."""
    cells, runs = schema.cells, schema.runs
    other = of_other_code(runs.c.recipe, sources)
    return set(connection.scalars(select(cells.c.run_key).join(runs).where(*here, other)))


def _begun_otherwise(
    connection: Connection,
    here: Sequence[ColumnElement[bool]],
    study: Study,
    content: str,
    weights: str | None,
) -> set[str]:
    """Runs of a study that began with other weights than those of now; none where these are drawn."""
    if weights is None:
        return set()
    cells, runs = schema.cells, schema.runs
    columns = runs.c.run_key, runs.c.fingerprint, runs.c.seed, runs.c.fold, runs.c.recipe
    rows = connection.execute(select(*columns).select_from(cells).join(runs).where(*here))
    return {row.run_key for row in rows if not began_so(row, study, content, weights)}


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
