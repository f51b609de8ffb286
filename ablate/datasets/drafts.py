"""Files and folders of the cache that are being written, and what killed processes left of them.

A draft's name says which process makes it, so that whoever comes later can tell that it is gone.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ablate.system.digest import digest
from ablate.system.files.atomic import follow_umask
from ablate.system.process.owner import Owner, current_owner, host_id

UNTOUCHED_SECONDS = 24 * 3600.0
"""A draft of another machine, or from before a reboot, is nobody's when nothing was written to it for so
long: what is under way is written all the time."""

_NAMED = re.compile(r"\.ablate-(?P<host>[0-9a-f]{16})-(?P<pid>\d+)-(?P<started>\d+)-\w+")
_EARLIER = re.compile(r"\.(images-[0-9a-f]{64}-\d+|(index|cifar10)-[0-9a-f]{64})-\w+")
"""How drafts were named before their names had an owner."""


def new_draft(folder: Path, *, file: bool = False) -> Path:
    """An empty folder, or file, inside `folder`, that is this process's own until it gets its name."""
    owner = current_owner()
    prefix = f".ablate-{digest(owner.host)}-{owner.pid}-{owner.started:.0f}-"
    if not file:
        draft = Path(tempfile.mkdtemp(dir=folder, prefix=prefix))
    else:
        handle, name = tempfile.mkstemp(dir=folder, prefix=prefix)
        os.close(handle)
        draft = Path(name)
    follow_umask(draft)  # a cache may be shared
    return draft


def remove(path: Path) -> None:
    """Delete a file or a folder with what is in it, as far as that is possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def is_draft(path: Path) -> bool:
    """Whether a name is one of ours, whoever makes it or has made it."""
    return bool(_NAMED.fullmatch(path.name) or _EARLIER.fullmatch(path.name))


def stale_drafts(folder: Path) -> Iterator[Path]:
    """What processes that are gone have begun and not finished."""
    try:
        found = sorted(folder.iterdir())
    except OSError:  # no such folder yet
        return
    yield from (path for path in found if _is_stale(path))


def _is_stale(path: Path) -> bool:
    named = _NAMED.fullmatch(path.name)
    if named is not None and named["host"] == digest(host_id()):
        return Owner(host_id(), int(named["pid"]), float(named["started"])).is_gone()
    # Nothing else is touched: the folder may be anybody's, with files of theirs.
    return is_draft(path) and time.time() - _last_written(path) > UNTOUCHED_SECONDS


def _last_written(draft: Path) -> float:
    """When anything in it was written last, now if it is gone meanwhile."""
    try:
        return max(path.lstat().st_mtime for path in (draft, *draft.rglob("*")))
    except OSError:
        return time.time()
