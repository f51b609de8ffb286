"""The revisions of our schema, and which databases are refused. No SQLAlchemy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ablate.errors import DatabaseError

VERSION_TABLE = "ablate_version"
"""Alembic's table under a name of our own: Optuna keeps one too."""
REVISIONS = tuple(
    sorted(
        file.name[:4] for file in (Path(__file__).parents[1] / "migrations/versions").glob("0*.py")
    )
)
HEAD = REVISIONS[-1]
"""The newest revision: that of the last file in `migrations/versions`."""

RETIRED_TABLES = {"kernels": "0005"}
"""Tables of earlier revisions, and the one from which on there are none: older exports have them."""


def refuse_others(name: str, tables: Iterable[str]) -> None:
    """Raises:
    DatabaseError: these are the tables of another program.
    """
    found = list(tables)
    if found and VERSION_TABLE not in found:
        raise DatabaseError(
            f"{name}: a database of another program (it has the table {found[0]!r}): "
            "give another one with --db"
        )


def refuse_newer(name: str, revision: str | None) -> None:
    """Raises:
    DatabaseError: a revision that this version does not know.
    """
    if revision not in (None, *REVISIONS):
        raise DatabaseError(
            f"{name}: made by a newer ablate (revision {revision}; this one knows {HEAD}): "
            "update ablate, or give another one with --db"
        )


def refuse_older(name: str, revision: str | None) -> None:
    """Raises:
    DatabaseError: a schema that must be made or upgraded before it can be read.
    """
    if revision is None:
        raise DatabaseError(f"{name}: there is no database yet: `ablate run STUDY` makes it")
    if revision != HEAD:
        raise DatabaseError(f"{name}: an older database: `ablate run STUDY` brings it up to date")
