"""PostgreSQL: how connections to a server behave."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DisconnectionError

from ablate.errors import DatabaseError
from ablate.store.connection.address import shown
from ablate.store.connection.sqlite import WRITE

CONNECT = {
    "application_name": "ablate",
    "client_encoding": "UTF8",
    "connect_timeout": 10,
    # A peer that is gone without a word is noticed after 25 s, before a lease runs out.
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""Seconds; the last one in milliseconds."""

SESSION = {
    "timezone": "UTC",
    "lock_timeout": "30s",
    "statement_timeout": "60s",
    # A process that hangs in a transaction must not hold its rows for ever.
    "idle_in_transaction_session_timeout": "5min",
}

ENCODINGS = ("UTF8", "SQL_ASCII")
"""What holds any name of a variant; the second stores the bytes as they are."""

REPEATABLE_READ = 3
"""As `psycopg.IsolationLevel` has it."""

PING_SECONDS = 1.0
"""A connection that nobody used for longer is tried before it is used. One that breaks in use is an error
that passes: its transaction is made again."""
_USED = "ablate_used"

TURN = 0x61626C617465  # "ablate"


def make_engine(url: URL) -> Engine:
    """An engine whose reading transactions see one moment, and whose writing ones wait for rows.

    Raises:
        DatabaseError: the driver is not installed.
    """
    try:
        engine = create_engine(url, connect_args=CONNECT)
    except ImportError:
        raise DatabaseError(
            f"--db {shown(url)}: PostgreSQL needs psycopg: pip install 'psycopg[binary]'"
        ) from None

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding not in ENCODINGS:
            raise DatabaseError(
                f"{shown(url)}: its encoding is {encoding}, which cannot hold every name: "
                "make a database with ENCODING 'UTF8'"
            )
        # By statements: a connection pooler in between refuses libpq's `options`.
        for name, value in SESSION.items():
            connection.execute(f"SET {name} = '{value}'")
        connection.commit()

    @event.listens_for(engine, "checkout")
    def _checked_out(connection: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get(_USED, 0.0) < PING_SECONDS:
            return
        try:
            connection.execute("SELECT 1")
            connection.rollback()
        except connection.Error as error:
            raise DisconnectionError from error  # the pool makes another one

    @event.listens_for(engine, "checkin")
    def _checked_in(_connection: Any, record: Any) -> None:
        record.info[_USED] = time.monotonic()

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITE, False)
        # psycopg says it in its BEGIN, where a statement of its own would be one more way to the server.
        reached: Any = connection.connection.driver_connection
        reached.read_only = None if writes else True
        reached.isolation_level = None if writes else REPEATABLE_READ

    return engine


def take_turns(connection: Connection) -> None:
    """Let one process at a time go on from here to the end of its transaction; so SQLite always does."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": TURN})
