"""The address of a results database: what may be written, how it is shown, where its files lie."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from ablate.errors import DatabaseError
from ablate.store.connection.sqlite_file import SQLITE, sqlite_name
from ablate.system.digest import digest

HOW = "write sqlite:///FILE or postgresql://USER@HOST/NAME"
POSTGRES = ("postgresql", "postgresql+psycopg", "postgres")
POSTGRES_KEYS = ("host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey")
"""What may stand behind the question mark: nothing that is secret or changes what a query means."""


def parse_url(url: str, option: str = "--db") -> URL:
    """The URL of a database, as it was given to an option; a plain file name stands for SQLite.

    Raises:
        DatabaseError: not a URL, or a kind of database that is not supported.
    """
    if (file := sqlite_name(url)) is not None:
        return _file(file, option)
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the second of a port that is no number
        raise DatabaseError(f"{option}: not a database URL: {HOW}") from None
    if parsed.drivername in POSTGRES:
        return _checked(parsed, option).set(drivername="postgresql+psycopg")
    raise DatabaseError(
        f"{option} {parsed.drivername}://…: only SQLite and PostgreSQL are supported: {HOW}"
    )


def _file(name: str, option: str) -> URL:
    """The URL of a file, whose name may have characters that mean something in a URL."""
    if not name or name == ":memory:" or name.startswith("file:") or "\0" in name:
        raise DatabaseError(f"{option} {SQLITE}{name}: names no file: {HOW}")
    return URL.create("sqlite", database=name)


def _checked(parsed: URL, option: str) -> URL:
    if not parsed.database:
        raise DatabaseError(f"{option} {shown(parsed)}: names no database: {HOW}")
    for key in parsed.query:
        if key not in POSTGRES_KEYS:
            raise DatabaseError(
                f"{option}: {key!r} cannot be set in the URL; there are: {', '.join(POSTGRES_KEYS)}"
            )
    return parsed


def is_sqlite(url: URL) -> bool:
    """Whether the database is a file of ours, and no server."""
    return url.drivername == "sqlite"


def shown(url: URL | str) -> str:
    """How a database is named to people: its file, or its URL without the password."""
    url = parse_url(url) if isinstance(url, str) else url
    if is_sqlite(url):
        return str(url.database)
    return url.set(drivername="postgresql").render_as_string(hide_password=True)


def same_database(one: str, other: str) -> bool:
    """Whether two URLs lead to one database, whoever logs in."""
    first, second = parse_url(one), parse_url(other)
    if is_sqlite(first) and is_sqlite(second):
        return Path(str(first.database)).resolve() == Path(str(second.database)).resolve()
    places = [(u.drivername, u.host, u.port or 5432, u.database, u.query) for u in (first, second)]
    return places[0] == places[1]


def files_folder(url: str) -> Path:
    """Where weights, checkpoints, histograms and traces lie: in the folder of an SQLite file, and for
    PostgreSQL in `results/<name of the database>` below the current folder.
    """
    parsed = parse_url(url)
    name = str(parsed.database)
    if is_sqlite(parsed):
        return Path(name).parent
    # Any text can be the name of a database, also the path of somebody else's folder.
    return Path("results") / (
        name if re.fullmatch(r"[\w-]{1,63}", name, re.ASCII) else digest(name)
    )
