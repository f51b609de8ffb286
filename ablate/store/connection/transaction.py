"""One transaction, tried again where that is known to do no harm."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from ablate.store.connection.engine import WRITE, clear_errors, shown

PATIENCE_SECONDS = 180.0
"""How long a database may be locked, restarted or out of reach before that is an error."""

PASSING = {
    "40001": "serialization failure",
    "40P01": "deadlock",
    "53300": "too many connections",
    "57P01": "shutdown by its administrator",
    "57P02": "crash",
    "57P03": "starting up",
}
"""PostgreSQL's SQLSTATEs of what goes away by itself."""

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


class _HasEngine(Protocol):
    _engine: Engine


Self = TypeVar("Self", bound=_HasEngine)


def transact(
    engine: Engine,
    do: Callable[[Connection], Returned],
    *,
    writes: bool,
    patience_seconds: float | None = None,
) -> Returned:
    """What `do` returns, in one transaction that is committed.

    `do` is called again after what passes, such as a lost connection. When that was lost during the
    commit nobody knows whether it took place: so `do` must come to the same end when its own work is
    there already.

    Raises:
        DatabaseError: it did not pass; nothing of this transaction was written, unless the connection
            was lost during its commit.
    """
    chosen = engine.execution_options(**WRITE) if writes else engine
    patience = PATIENCE_SECONDS if patience_seconds is None else patience_seconds
    end, pause = time.monotonic() + patience, 0.05
    with clear_errors(shown(engine.url), "written" if writes else "read"):
        while True:
            try:
                with chosen.begin() as connection:
                    return do(connection)
            except DBAPIError as error:
                if not passes(error) or time.monotonic() > end:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, 1.0)


def passes(error: DBAPIError) -> bool:
    """Whether the same transaction may succeed a little later."""
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
    state = getattr(error.orig, "sqlstate", None)
    if isinstance(error, OperationalError) and state is None:
        return True  # the server did not answer at all: it cannot be reached now
    return error.connection_invalidated or state in PASSING


def writing(
    method: Callable[Concatenate[Self, Connection, Parameters], Returned],
) -> Callable[Concatenate[Self, Parameters], Returned]:
    """A method that is one writing transaction, handed to it as its first argument."""

    @wraps(method)
    def tried(self: Self, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        return transact(self._engine, lambda each: method(self, each, *args, **kwargs), writes=True)

    return tried


def reading(
    method: Callable[Concatenate[Self, Connection, Parameters], Returned],
) -> Callable[Concatenate[Self, Parameters], Returned]:
    """A method that sees the database at one moment, through its first argument."""

    @wraps(method)
    def tried(self: Self, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        return transact(
            self._engine, lambda each: method(self, each, *args, **kwargs), writes=False
        )

    return tried
