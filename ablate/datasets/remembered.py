"""The hashes of files that were read before, so that an unchanged folder is not read at every command.

A file is unchanged if its stat is, and was settled when it was read (git's rule for "racily clean" files).
Everything here is for speed alone: what cannot be read or written is done without. What a stat does not show
stands in docs/identity.md; `--rehash`, or ABLATE_REHASH in the environment, reads everything again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.datasets import cache
from ablate.datasets.archive import ArchiveMember
from ablate.errors import OutputError
from ablate.system.digest import digest
from ablate.system.files.state import REHASH, FileState, state_of

VERSION = 3
ALL_OF_IT = ""
"""The name under which the hash of an archive itself stands."""

Known = tuple[FileState, str]
"""How a file was found when it was read, and the SHA-256 of what it had, with its orientation."""


@dataclass
class RememberedHashes:
    """The hashes of one source's files by their names: as they were, and as they are found now."""

    before: dict[str, Known] = field(default_factory=dict)
    now: dict[str, Known] = field(default_factory=dict)

    def of_member(self, member: ArchiveMember, read: Callable[[], str]) -> str:
        """What an image is, which is read unless it is the file that it was."""
        if member.file is None or member.state is None:
            return read()
        return self._of(member.name, member.file, member.state, read)

    def of_archive(self, path: Path) -> str:
        """The SHA-256 of an archive itself.

        Raises:
            OSError: it cannot be read.
        """

        def read() -> str:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()

        return self._of(ALL_OF_IT, str(path), state_of(path.stat()), read)

    def _of(self, name: str, file: str, state: FileState, read: Callable[[], str]) -> str:
        known = self.before.get(name)
        if known is None or known[0] != state:
            at_ns = time.time_ns()
            known = state, read()
            # What was written while it was read, or in the same tick as the last write, is read again.
            if not state.is_settled(at_ns) or state_of(os.stat(file)) != state:
                return known[1]
        self.now[name] = known
        return known[1]


@contextmanager
def remembered_hashes(path: Path) -> Iterator[RememberedHashes]:
    """What is remembered of a folder or an archive; what is found is remembered unless the block raises."""
    try:
        name = f"files-{_place(os.stat(path))}"
    except OSError:  # whoever reads it says so
        yield RememberedHashes()
        return
    stored = None if os.environ.get(REHASH) else _load(name)
    hashes = RememberedHashes(stored.files if stored is not None else {})
    yield hashes
    at = str(path.absolute())
    if hashes.now and (stored is None or stored != Memory(at, hashes.now)):
        with contextlib.suppress(
            OutputError
        ):  # a cache that cannot be written: read again next time
            cache.store_json(name, Memory(at, hashes.now).document())


def is_of_use(name: str) -> bool:
    """Whether a memory can be read, and its source still lies where it lay."""
    stored = _load(name)
    try:
        return stored is not None and f"files-{_place(os.stat(stored.at))}" == name
    except OSError:
        return False


@dataclass(frozen=True)
class Memory:
    """What is stored of a source: where it lay, and its files."""

    at: str
    files: dict[str, Known]

    def document(self) -> dict[str, Any]:
        files = {name: [*state, found] for name, (state, found) in self.files.items()}
        content = json.dumps({"version": VERSION, "at": self.at, "files": files})
        return {"content": content, "sha256": _seal(content)}


def _load(name: str) -> Memory | None:
    """None if there is none, or none that is as it was stored."""
    try:
        stored: Any = cache.load_json(name)
        content = stored["content"]
        if stored["sha256"] != _seal(content):
            return None
        found = json.loads(content)
        if found["version"] != VERSION:
            return None
        files = {
            name: (FileState(*numbers), seen) for name, (*numbers, seen) in found["files"].items()
        }
        return Memory(found["at"], files)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _seal(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def _place(found: os.stat_result) -> str:
    """A source by what it is, not by its name: it may be moved."""
    return digest([found.st_dev, found.st_ino])
