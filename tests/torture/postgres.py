"""A PostgreSQL server to be stalled and restarted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.postgres_server import Server, missing, running_server
from tests.torture.figures import CannotBeDone

# What a restart loses is what this is about.
DURABLE = {"fsync": "on", "full_page_writes": "on"}


@contextmanager
def server() -> Iterator[tuple[Server, str]]:
    """A new server that keeps what it commits, and the URL of a database on it.

    Raises:
        CannotBeDone: PostgreSQL is not installed, or cannot be started by this user.
    """
    why = missing()
    if why is not None:
        raise CannotBeDone(why)
    with running_server(DURABLE) as postgres:
        yield postgres, postgres.create("torture")
