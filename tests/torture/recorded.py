"""The store's own transactions as plain SQL: recorded once, then made again for other runs by few processes.

A thousand drivers have a thousand processors; whoever plays them on one must not be what is measured. Values
of the recorded node are replaced by another's: keys, tokens and the number of the epoch.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg.types.json import Json
from sqlalchemy import event

from ablate.drive.takeover import WATCHED
from ablate.store.writing.store import Claim, Report, Store
from tests.torture.pretended import ENVIRONMENT, epoch_of, result_of

Values = Mapping[str, Any]
AFTER = "0" * 16
"""Where the recorded look begins."""


@dataclass(frozen=True)
class Statement:
    """One statement as the store's library wrote it, with one set of values or several."""

    sql: str
    values: tuple[Values, ...]
    many: bool

    def run(self, cursor: psycopg.Cursor[Any], other: Mapping[Any, Any], epoch: int) -> int:
        """The same with other values; returns how many rows it gives."""
        filled = [_filled(each, other, epoch) for each in self.values]
        if self.many:
            cursor.executemany(self.sql, filled)
        else:
            cursor.execute(self.sql, filled[0], prepare=True)
        return len(cursor.fetchall()) if cursor.description is not None else 0

    @property
    def size(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Script:
    """The transactions of a node that holds `keys` under `tokens`. A claim looks for runs that must be alone,
    then for a page of those that are ready, and takes each with its attempt.
    """

    keys: tuple[str, ...]
    tokens: tuple[str, ...]
    alone: Statement
    page: Statement
    take: Statement
    attempt: Statement
    epoch: tuple[Statement, ...]
    last_epoch: tuple[Statement, ...]
    renew: tuple[Statement, ...]
    watch: tuple[Statement, ...]


def record(store: Store, keys: Sequence[str], at_once: int, epochs: int) -> Script:
    """Play one node on the real store, from its claim to its last epoch, and keep what it said."""
    claims: list[Claim] = []
    claimed = _said(store, lambda: claims.extend(store.claim_cohort(keys, at_once, lambda _: 0)))
    parts = [
        _first(claimed, word)
        for word in ("FROM attempts", "json_array", "UPDATE runs", "INTO attempts")
    ]
    held = list(claims)
    renew = _said(store, lambda: store.renew(held))
    watch = _said(store, lambda: store.running(keys, AFTER, WATCHED))
    epoch = _said(store, lambda: store.report([Report(c, epoch_of(c.run_key, 1)) for c in held]))
    results = [replace(result_of(c.run_key), kept=None) for c in held]
    ends = [Report(c, epoch_of(c.run_key, epochs)) for c in held]
    ends += [Report(c, r, ENVIRONMENT) for c, r in zip(held, results, strict=True)]
    last = _said(store, lambda: store.report(ends))
    names = tuple(c.run_key for c in held), tuple(c.token for c in held)
    return Script(*names, *parts, epoch, last, renew, watch)


def play(
    connection: psycopg.Connection[Any],
    said: Sequence[Statement],
    other: Mapping[Any, Any],
    epoch: int,
) -> int:
    """One transaction; returns how many statements it had, each set of values as one."""
    made = 0
    with connection.transaction(), connection.cursor() as cursor:
        for statement in said:
            made += statement.size
            if statement.run(cursor, other, epoch) == WATCHED:
                break  # a look that has gone round far enough
    return made


def claim(
    connection: psycopg.Connection[Any], script: Script, keys: Sequence[str]
) -> tuple[dict[Any, Any], int]:
    """Take as many of these runs as the recorded node took, or as are ready; returns whom they stand for, and
    the statements.
    """
    found: dict[Any, Any] = {}
    made = 2
    with connection.transaction(), connection.cursor() as cursor:
        script.alone.run(cursor, {}, 0)
        cursor.execute(script.page.sql, {**script.page.values[0], "keys": Json(keys)}, prepare=True)
        for _place, key in cursor.fetchall():
            place = len(found) // 2
            if place == len(script.keys):
                break
            mine = {script.keys[0]: key, script.tokens[0]: secrets.token_hex(16)}
            cursor.execute(script.take.sql, _filled(script.take.values[0], mine, 0), prepare=True)
            made += 1
            if cursor.fetchone() is None:
                continue  # another one is claiming it
            script.attempt.run(cursor, mine, 0)
            made += 1
            found |= {script.keys[place]: key, script.tokens[place]: mine[script.tokens[0]]}
    return found, made


def _first(said: Sequence[Statement], word: str) -> Statement:
    return next(each for each in said if word in each.sql)


def _filled(values: Values, other: Mapping[Any, Any], epoch: int) -> dict[str, Any]:
    filled = {k: other.get(v, v) if isinstance(v, str) else v for k, v in values.items()}
    if epoch and "epoch" in filled:
        filled["epoch"] = epoch
    return filled


def _said(store: Store, do: Callable[[], object]) -> tuple[Statement, ...]:
    """What the store says while something is done."""
    found: list[Statement] = []

    def heard(_c: object, _cursor: object, sql: str, values: Any, _x: object, many: bool) -> None:
        found.append(Statement(sql, tuple(values) if many else (values,), many))

    event.listen(store._engine, "before_cursor_execute", heard)
    try:
        do()
    finally:
        event.remove(store._engine, "before_cursor_execute", heard)
    return tuple(found)
