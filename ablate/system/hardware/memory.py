"""How much memory there is for this process and its children, and how much room on a disk. Knows no torch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

try:
    import resource
except ImportError:  # not on every system
    resource = None  # type: ignore[assignment]

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
GIB = 2**30


@dataclass(frozen=True)
class MemoryLimits:
    """What all processes may hold together, and what one may map; None where nothing says it. Unit: bytes."""

    together: int | None
    one_process: int | None


def memory_limits() -> MemoryLimits:
    """Those of this process: the machine's memory or what its container may use of it, and `ulimit -v`."""
    found = [limit for limit in (_of_machine(), *_of_cgroups()) if limit is not None]
    return MemoryLimits(min(found, default=None), _of_process())


def free_bytes(folder: Path) -> int | None:
    """The room for files of this user where a folder lies, or would; None if nobody knows."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    try:
        return shutil.disk_usage(there).free
    except OSError:
        return None


def gib(size_bytes: float) -> str:
    """`1.4 GiB`, `12 MiB`."""
    mib = size_bytes / 2**20
    return f"{mib / 2**10:,.1f} GiB" if mib >= 1000 else f"{max(1, round(mib)):,} MiB"


def _of_machine() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _of_process() -> int | None:
    if resource is None:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft


def _of_cgroups() -> Iterator[int]:
    """The limits of the groups that this process is in, of either version; a container's root has its own."""
    try:
        lines = OWN_CGROUP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory") and "memory" not in controllers.split(","):
            continue
        folder, name = (
            (CGROUPS, "memory.max")
            if not controllers
            else (CGROUPS / "memory", "memory.limit_in_bytes")
        )
        group = Path(path.lstrip("/"))
        for part in (group, *group.parents):
            yield from _limit(folder / part / name)


def _limit(file: Path) -> Iterator[int]:
    try:
        yield int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):  # not there, or "max"
        return
