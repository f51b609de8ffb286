"""Whether the files and libraries that a user's network was built from are as they were: nothing is imported.

Modules are found as importing would find them: a file that now comes before another is another.
"""

from __future__ import annotations

import hashlib
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from ablate.identity.sources import hash_source
from ablate.outline.asked import Outlines, import_path
from ablate.system.software.environment import package_version


def are_unchanged(found: Outlines) -> bool:
    """Whether everything that was recorded is still so; False where nothing was."""
    if found.files is None:
        return False
    if not all(package_version(name) == version for name, version in found.libraries.items()):
        return False
    if not all(hash_read(path) == known for path, known in found.read.items()):
        return False
    PathFinder.invalidate_caches()
    return all(_hash(module) == known for module, known in found.files.items())


def _hash(module: str) -> str | None:
    if not all(part.isidentifier() for part in module.split(".")):
        return None
    file = locate(module)
    try:
        return None if file is None else hash_source(file.read_bytes())
    except OSError:
        return None


def hash_read(path: str) -> str | None:
    """The hash of a file's content; None where there is none."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return None


def locate(module: str) -> Path | None:
    """The file that importing a module would read; None if there is none."""
    folders = import_path()
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for number in range(len(parts)):
        spec = PathFinder.find_spec(".".join(parts[: number + 1]), folders)
        if spec is None:
            return None
        folders = list(spec.submodule_search_locations or ())
    return Path(spec.origin) if spec is not None and spec.origin else None
