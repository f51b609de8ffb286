"""What a filesystem says of a file without reading it, and how far that may be believed."""

from __future__ import annotations

import os
from typing import NamedTuple

REHASH = "ABLATE_REHASH"
"""The environment variable that a command sets so that files are read whatever their stat says."""

SETTLED_NS = 3 * 10**9
"""How old a file's last change must be. Times come in ticks (4 ms on most systems, 2 s on FAT): a write in
the tick of the last one leaves the time as it is, as in git's "racily clean" files."""


class FileState(NamedTuple):
    """Which file it is, and when it was changed. Programs can set `mtime_ns`; `ctime_ns` only the system.

    A tuple, since a folder has tens of thousands of files, whose states are made and compared each time.
    """

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    def is_settled(self, at_ns: int) -> bool:
        """Whether a write after that moment must have shown in the times: none was shortly before it."""
        # Elsewhere ctime is when the file was made.
        changed = self.ctime_ns if os.name == "posix" else self.mtime_ns
        return changed + SETTLED_NS <= at_ns


def state_of(found: os.stat_result) -> FileState:
    """The part of a stat that says whether a file is the same and unchanged."""
    return FileState(
        found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    )
