"""The file of an SQLite database before anything opens it, and what is said when that fails."""

from __future__ import annotations

import os
from pathlib import Path

from ablate.errors import DatabaseError

SQLITE = "sqlite:///"
BUSY_SECONDS = 120
MAGIC = b"SQLite format 3\x00"
UNTRUSTED = ("trusted_schema = OFF", "cell_size_check = ON")
"""How a connection is set that may lead to a file from somebody else."""


def sqlite_name(url: str) -> str | None:
    """The name of the file that a URL of SQLite, or a name alone, stands for, as it is: `%`, `?` and `#` are
    characters of it. None for any other URL.
    """
    if url.startswith(SQLITE):
        return url.removeprefix(SQLITE)
    return url if "://" not in url else None


def plain_file(url: str) -> Path | None:
    """The file of an SQLite URL that needs no parser; None for any other."""
    name = sqlite_name(url)
    return Path(name) if name and name != ":memory:" and not name.startswith("file:") else None


_opened: dict[Path, None] = {}


def opened_files() -> list[Path]:
    """The files that this process has opened as databases, for whoever explains a failure."""
    return list(_opened)


def refuse_other_files(path: Path, *, create: bool) -> None:
    """Look before SQLite does: it would not touch another file, but would say less about it.

    With `create` the folder of a missing file is made.

    Raises:
        DatabaseError: no SQLite database, or none at all.
    """
    _opened[path] = None
    head = _head(path)
    if not head and not create:
        raise DatabaseError(f"{path}: there is no database yet: `ablate run STUDY` makes it")
    if head and head != MAGIC:
        raise DatabaseError(f"{path}: is not an SQLite database: give another file with --db")
    if create:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseError(f"{path.parent}: cannot be made: {error.strerror}") from None
        make_empty(path)


def make_empty(path: Path) -> None:
    """Make the file of a new database. SQLite by itself would let nobody else write it, whatever the umask.

    Raises:
        DatabaseError: it cannot be made.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDONLY, 0o666))
    except OSError as error:
        raise DatabaseError(f"{path}: cannot be opened: {error.strerror}") from None


def failed(name: str | None, doing: str, reason: str) -> DatabaseError:
    """A database that is damaged, full, locked for too long or gone; `doing` is "read" or "written"."""
    return DatabaseError(
        f"{name}: cannot be {doing}: {reason}. What was stored before stays: look at "
        "`ablate doctor`, mend that and run again to go on"
    )


def _head(path: Path) -> bytes:
    """The first bytes; none of a missing file, or of one that is being created."""
    if not path.exists():
        return b""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC))
    except OSError as error:
        raise DatabaseError(f"{path}: cannot be read: {error.strerror}") from None
