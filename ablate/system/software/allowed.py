"""For which study files a user has allowed which packages: remembered in the user's own state folder.

By the absolute path of the file and the hash of its bytes: another file, or the same one with other text, is
asked for again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.system.files.atomic import write_whole
from ablate.system.files.folders import user_folder


@dataclass(frozen=True)
class Allowed:
    """A study file and its packages; `holds` is false where the file has changed or is gone."""

    study: Path
    packages: tuple[str, ...]
    holds: bool


def remember_allowed(study: Path, packages: Sequence[str]) -> None:
    """Keep that these packages may be imported for this study file as it is now.

    Raises:
        OSError: the study cannot be read, or the state folder cannot be written.
    """
    entries, name, digest = _load(), str(study.resolve()), _digest(study)
    known = entries.get(name, {})
    before = known.get("packages", []) if known.get("sha256") == digest else []
    wanted = {"sha256": digest, "packages": sorted({*before, *packages})}
    if known != wanted:
        _store({**entries, name: wanted})


def allowed_for(study: Path) -> tuple[str, ...]:
    """The packages that were allowed for this study file as it is now."""
    entry = _load().get(str(study.resolve()))
    return tuple(entry["packages"]) if entry and _holds(study, entry) else ()


def allowed_before(study: Path) -> tuple[str, ...]:
    """The packages that were allowed for an earlier content of this study file."""
    entry = _load().get(str(study.resolve()))
    return tuple(entry["packages"]) if entry and not _holds(study, entry) else ()


def all_allowed() -> list[Allowed]:
    """Everything that is remembered."""
    return [
        Allowed(Path(name), tuple(entry["packages"]), _holds(Path(name), entry))
        for name, entry in sorted(_load().items())
    ]


def forget_allowed(study: Path) -> bool:
    """Forget a study file; False if nothing was remembered of it.

    Raises:
        OSError: the state folder cannot be written.
    """
    entries = _load()
    found = entries.pop(str(study.resolve()), None) is not None
    if found:
        _store(entries)
    return found


def _file() -> Path:
    return user_folder("state") / "allowed.json"


def _load() -> dict[str, dict[str, Any]]:
    """What was stored; nothing of what is not as we write it."""
    try:
        found = json.loads(_file().read_bytes())
    except (OSError, ValueError):
        return {}
    entries = found.items() if isinstance(found, dict) else ()
    return {name: entry for name, entry in entries if _is_entry(entry)}


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("sha256"), str):
        return False
    packages = entry.get("packages")
    return isinstance(packages, list) and all(isinstance(name, str) for name in packages)


def _store(entries: dict[str, dict[str, Any]]) -> None:
    file = _file()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(file, json.dumps(entries, indent=1).encode())


def _holds(study: Path, entry: dict[str, Any]) -> bool:
    try:
        return _digest(study) == str(entry["sha256"])
    except OSError:
        return False


def _digest(study: Path) -> str:
    return hashlib.sha256(study.read_bytes()).hexdigest()
