"""Files beside the database, written whole; what cannot be written is one clear line."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from ablate.errors import DatabaseError
from ablate.system.files.atomic import write_whole

MOST_BYTES = 8 * 2**30
"""Of one file beside a database: the weights of a network, or a cohort's share of a checkpoint."""


def read_beside(path: Path) -> bytes:
    """A file that rows name. Whoever made the database made it too, so its size is looked at first.

    Raises:
        OSError: it cannot be read, or is larger than any of ours, or no plain file.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "no plain file")
        if found.st_size > MOST_BYTES:
            raise OSError(errno.EFBIG, f"larger than {MOST_BYTES // 2**30} GiB")
        return file.read(MOST_BYTES)


def _without_waiting(path: str, flags: int) -> int:
    """A named pipe would be waited for."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def store_file(path: Path, content: bytes) -> None:
    """Write a file and the folders that it needs.

    Raises:
        DatabaseError: it cannot be written; nothing is left behind, and an earlier file is as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise DatabaseError(
            f"{path}: cannot be written: {error.strerror or error}. "
            "What was stored before stays: mend that and run again to go on"
        ) from None
