"""What lies in the cache, and what of it nobody will use again: for `ablate doctor`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ablate.datasets.cache import is_whole
from ablate.datasets.drafts import is_draft, remove, stale_drafts
from ablate.datasets.remembered import is_of_use
from ablate.datasets.sealed import read_sealed
from ablate.system.files.folders import cache_folder
from ablate.system.software.program import program_id

_ENTRY = re.compile(r"(images-[0-9a-f]{64}-\d+)|(cifar10-[0-9a-f]{64})")
_INDEX = re.compile(r"index-[0-9a-f]{64}\.json")
_EXAMINED = re.compile(r"examined-[0-9a-f]{16}\.json")
_OUTLINES = re.compile(r"outlines-([0-9a-f]{16})-(machine-)?[0-9a-f]{16}\.json")
_MEMORY = re.compile(r"files-[0-9a-f]{16}\.json")


@dataclass(frozen=True)
class CacheState:
    """The cache folder, its size, how many sets of images it holds and of how many sources it remembers the
    files' hashes. `stale` are drafts of processes that are gone, entries that are broken or of an earlier
    version, outlines of networks that another version of this program or of torch built, and memories of
    sources that are gone; all of it is built again where needed.
    """

    folder: Path
    entries: int
    remembered: int
    size_bytes: int
    stale: tuple[Path, ...]
    stale_bytes: int


def look_at_cache() -> CacheState:
    """The cache as it is. Nothing is hashed: that would read all of it."""
    folder = cache_folder()
    parts = sorted(folder.iterdir()) if folder.is_dir() else []
    sets = [(path, match) for path in parts if (match := _ENTRY.fullmatch(path.name))]
    # The archive that CIFAR-10 came from may be gone: what an earlier version stored of it is used.
    broken = [path for path, match in sets if not is_whole(path, unsealed=bool(match[2]))]
    memories = [path for path in parts if _MEMORY.fullmatch(path.name)]
    forgotten = [path for path in memories if not is_of_use(path.stem)]
    outlines = [(path, match) for path in parts if (match := _OUTLINES.fullmatch(path.name))]
    others = [p for p, match in outlines if match[1] != program_id() or read_sealed(p) is None]
    stale = (*stale_drafts(folder), *broken, *forgotten, *others)
    indexes = [p for p in parts if _INDEX.fullmatch(p.name) or _EXAMINED.fullmatch(p.name)]
    found = [*sets, *outlines]
    ours = {*(path for path, _ in found), *indexes, *memories, *filter(is_draft, parts)}
    entries, remembered = len(sets) - len(broken), len(memories) - len(forgotten)
    return CacheState(
        folder, entries, remembered, sum(map(_bytes, ours)), stale, sum(map(_bytes, stale))
    )


def clean_cache() -> CacheState:
    """Remove what is stale; returns the cache as it was before."""
    state = look_at_cache()
    for path in state.stale:
        remove(path)
    return state


def _bytes(path: Path) -> int:
    """What a part takes; nothing of what is gone meanwhile."""
    total = 0
    for each in (path, *path.rglob("*")):
        try:
            total += each.lstat().st_size if each.is_file() else 0
        except OSError:
            continue
    return total
