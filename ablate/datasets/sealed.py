"""JSON in the cache, believed only as this user stored it: what is damaged, or somebody else's, is none.

A cache may be shared, and what an entry says of a network names runs: another user's is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

from ablate.datasets import cache
from ablate.system.files.folders import cache_folder

MOST_BYTES = 64 * 2**20


def load_sealed(name: str) -> str | None:
    """The JSON text that `store_sealed` stored under that name; None if there is none to be believed."""
    return read_sealed(cache_folder() / f"{name}.json")


def store_sealed(name: str, value: object) -> None:
    """Store a JSON value.

    Raises:
        OutputError: the cache folder cannot be written.
    """
    content = json.dumps(value)
    cache.store_json(name, {"content": content, "sha256": _seal(content)})


def read_sealed(path: Path) -> str | None:
    """The same of a file."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | _NOT_WAITING)
        with os.fdopen(handle, "rb") as file:
            if not _is_mine(os.fstat(handle)):
                return None
            stored: Any = json.loads(file.read(MOST_BYTES))
        content = stored["content"]
        return content if stored["sha256"] == _seal(content) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


_NOT_WAITING = getattr(os, "O_NONBLOCK", 0)
"""A pipe of that name would be waited for."""


def _is_mine(found: os.stat_result) -> bool:
    mine = os.name != "posix" or found.st_uid == os.getuid()
    return mine and stat.S_ISREG(found.st_mode) and found.st_size <= MOST_BYTES


def _seal(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
