"""Which program this is: a hash of its own source and of the versions of what it computes with. No torch
needed.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import psutil

from ablate.system.digest import digest
from ablate.system.software.environment import package_version
from ablate.system.version import VERSION

COMPUTES_WITH = ("torch", "torchvision", "numpy")
CLOCKS_AGREE_SECONDS = 2.0
"""The clock of files and the one that processes begin by differ by less."""
OURS = Path(__file__).parents[2]
"""The folder of this program's package."""


@cache
def program_id() -> str:
    """Another one whenever what is computed of a study on paper could be another: 16 hexadecimal digits.

    The whole source counts. It is read, which takes some milliseconds: files that are edited keep their
    version, and may keep their size and time.
    """
    versions = {name: package_version(name) for name in COMPUTES_WITH}
    return digest(
        {
            "ablate": VERSION,
            "python": platform.python_version(),
            "source": _source(OURS),
            **versions,
        }
    )


def _source(folder: Path) -> str:
    found = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        found.update(f"{file.relative_to(folder).as_posix()}\n".encode())
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def runs_as_written() -> bool:
    """Whether this process began after the last change of its source: else what it imported may be another
    source than the one that lies there.
    """
    began = psutil.Process().create_time() - CLOCKS_AGREE_SECONDS
    return all_before(OURS.rglob("*.py"), began)


def all_before(files: Iterable[Path], seconds: float) -> bool:
    """Whether files were changed last before a time."""
    return all(file.stat().st_mtime < seconds for file in files)
