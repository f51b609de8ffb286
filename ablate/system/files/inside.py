"""Every path that is made from stored text: ids alone, and no link on the way."""

from __future__ import annotations

import re
from pathlib import Path

from ablate.errors import DatabaseError

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=-]{0,199}")


def inside(folder: Path, *ids: str) -> Path:
    """The path below a folder that these ids name. The folder itself may be a link, for its owner chose it;
    what lies in it may have come with somebody else's files, and a link there would lead out of it.

    Raises:
        DatabaseError: a name that is no id, or a link.
    """
    path = folder
    for each in ids:
        path = path / checked(each, folder)
        if path.is_symlink():
            raise DatabaseError(f"{path}: is a link, which is not followed there: remove it")
    return path


def checked(name: str, folder: Path | str) -> str:
    """A name that leads to nothing but a file in that folder.

    Raises:
        DatabaseError: a name that is no id.
    """
    if not _ID.fullmatch(name):
        raise DatabaseError(
            f"{name[:60]!r}: is no name that ablate gives to a file, which may lead out of {folder}: "
            "the database was not made by ablate"
        )
    return name
