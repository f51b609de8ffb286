"""Files beside the database, written whole; what cannot be written is one clear line."""

from __future__ import annotations

from pathlib import Path

from ablate.errors import DatabaseError
from ablate.system.files import write_whole


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
