"""The cache folder: arrays and small JSON, written atomically, never as a pickle.

Everything in it can be deleted at any time and is built again. Several processes may write the same
entry at once: each writes beside it and moves its own into place, and whoever is late discards. What is
read is what was written: an entry holds the hashes of its arrays, and one that differs counts as none.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ablate.datasets.arrays import StoredArray, array_hashes, open_array
from ablate.datasets.drafts import new_draft, remove, stale_drafts
from ablate.errors import OutputError
from ablate.system.digest import digest
from ablate.system.files.atomic import sync
from ablate.system.files.folders import cache_folder
from ablate.system.files.state import FileState, state_of

FACTS = "facts.json"


@dataclass(frozen=True)
class CacheEntry:
    """Named arrays, opened read-only as memory maps, with their hashes and the facts stored with them."""

    arrays: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any]
    hashes: Mapping[str, str]


@dataclass(frozen=True)
class Rows:
    """A uint8 array of a draft that lives in its file, not in memory; its rows come in any order."""

    path: Path
    shape: tuple[int, ...]
    start: int
    file: BinaryIO

    @property
    def row_bytes(self) -> int:
        """What one row takes."""
        return int(np.prod(self.shape[1:]))

    def offset(self, row: int) -> int:
        """Where a row begins in the file."""
        return self.start + row * self.row_bytes

    def put(self, row: int, values: NDArray[np.uint8]) -> None:
        """Write one row. An ordinary write: on a full disk a memory map would end the process.

        Raises:
            OutputError: the cache folder cannot be written.
        """
        content = np.ascontiguousarray(values).data.cast("B")
        with told():
            self.file.seek(self.offset(row))
            while content:
                content = content[self.file.write(content) :]

    def read(self) -> NDArray[np.uint8]:
        """What was written so far, as a read-only map."""
        array: NDArray[np.uint8] = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return array


@dataclass(frozen=True)
class Draft:
    """An entry under construction in a folder of its own; facts are JSON values. `hashes` has those of its
    arrays that are known already, and after `write` all of them.
    """

    folder: Path
    open_files: ExitStack
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    rows: dict[str, Rows] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    written: dict[str, FileState] = field(default_factory=dict)

    def allocate(self, name: str, shape: tuple[int, ...]) -> Rows:
        """A new array of the entry, whose space on the disk is taken now.

        Raises:
            OutputError: the cache folder cannot be written, or has no room for it.
        """
        path = self.folder / f"{name}.npy"
        with told():
            file = self.open_files.enter_context(path.open("w+b", buffering=0))
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            start = file.tell()
            _reserve(file.fileno(), start + int(np.prod(shape)))
        self.rows[name] = Rows(path, shape, start, file)
        return self.rows[name]

    def write(self) -> None:
        """Bring everything to disk."""
        for name, array in self.arrays.items():
            np.save(self.folder / f"{name}.npy", array, allow_pickle=False)
        arrays = self.arrays | {name: rows.read() for name, rows in self.rows.items()}
        described = {name: _described(array) for name, array in arrays.items()}
        unknown = {name: array for name, array in arrays.items() if name not in self.hashes}
        self.hashes.update(array_hashes(unknown))
        hashes = {name: self.hashes[name] for name in arrays}
        content = {"arrays": described, "facts": self.facts, "sha256": hashes}
        text = json.dumps({**content, "seal": digest(content)})
        (self.folder / FACTS).write_text(text, encoding="utf-8")
        for file in self.folder.iterdir():
            sync(file)
            self.written[file.stem] = state_of(file.stat())


def load_json(name: str) -> Any | None:
    """What `store_json` stored under that name; None if there is nothing that can be read."""
    try:
        return json.loads((cache_folder() / f"{name}.json").read_bytes())
    except (OSError, ValueError):
        return None


def store_json(name: str, value: object) -> None:
    """Store a JSON value.

    Raises:
        OutputError: the cache folder cannot be written; nothing is left behind.
    """
    with _writing() as folder:
        draft = new_draft(folder, file=True)
        try:
            draft.write_text(json.dumps(value), encoding="utf-8")
            sync(draft)
            os.replace(draft, folder / f"{name}.json")
        finally:
            draft.unlink(missing_ok=True)


def load_arrays(
    name: str, *, unsealed: bool = False, written: Draft | None = None
) -> CacheEntry | None:
    """The entry of that name; None if there is none, or if its files are not what was stored.

    Every value is hashed, but for files that are still what this process has just `written` and hashed.
    `unsealed` takes an entry of an earlier version too, which has no hashes.
    """
    folder = cache_folder() / name
    try:
        stored = json.loads((folder / FACTS).read_bytes())
        described, facts = stored["arrays"], stored["facts"]
        arrays = {key: open_array(folder / f"{key}.npy") for key in described}
        sound = all(_described(array) == described[key] for key, array in arrays.items())
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    if not sound:
        return None
    known = {} if written is None else _still_written(written, arrays)
    found = known | array_hashes({key: arrays[key] for key in arrays if key not in known})
    hashes = {key: found[key] for key in arrays}
    content = {"arrays": described, "facts": facts, "sha256": hashes}
    sealed = stored["seal"] == digest(content) if "seal" in stored else unsealed
    return CacheEntry(arrays, facts, hashes) if sealed else None


def is_whole(folder: Path, *, unsealed: bool = False) -> bool:
    """Whether an entry may be used, as far as that is seen without hashing its arrays."""
    try:
        stored = json.loads((folder / FACTS).read_bytes())
        described = {
            name: _described(open_array(folder / f"{name}.npy")) for name in stored["arrays"]
        }
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return False
    seal = stored.pop("seal", None)
    return described == stored["arrays"] and (unsealed if seal is None else seal == digest(stored))


@contextmanager
def new_arrays(name: str) -> Iterator[Draft]:
    """Store the entry that the block fills in; nothing is left behind if the block raises.

    Raises:
        OutputError: the cache folder cannot be written.
    """
    with _writing() as parent:
        for stale in stale_drafts(parent):
            remove(stale)
        folder = new_draft(parent)
    try:
        with ExitStack() as files:
            draft = Draft(folder, files)
            yield draft
            with _writing():
                draft.write()
        with _writing():
            _move_into_place(folder, parent / name)
    finally:
        remove(folder)


def _still_written(draft: Draft, arrays: Mapping[str, StoredArray]) -> dict[str, str]:
    """The hashes of arrays whose files are those of the draft, unchanged since."""
    return {
        name: draft.hashes[name]
        for name, array in arrays.items()
        if array.source is not None and draft.written.get(name) == array.source.opened
    }


def _described(array: NDArray[Any]) -> list[Any]:
    return [str(array.dtype), *array.shape]


def _reserve(handle: int, size: int) -> None:
    """Take the space of a file, so that a full disk is known before hours of decoding."""
    reserve = getattr(os, "posix_fallocate", None)  # not on every system
    try:
        if reserve is not None:
            reserve(handle, 0, size)
            return
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            raise
    os.ftruncate(handle, size)  # a filesystem that cannot reserve: then a row is what does not fit


def _move_into_place(folder: Path, target: Path) -> None:
    """Give a finished folder its name, unless a sound entry has it already."""
    try:
        os.replace(folder, target)
    except OSError:
        if not target.exists():
            raise
        if load_arrays(target.name) is not None:
            return
        # What stands there is broken, and a folder cannot replace one that is not empty.
        shutil.rmtree(target)
        os.replace(folder, target)


@contextmanager
def _writing() -> Iterator[Path]:
    """The cache folder, created; what cannot be written becomes one clear line."""
    folder = cache_folder()
    with told():
        folder.mkdir(parents=True, exist_ok=True)
        yield folder


@contextmanager
def told() -> Iterator[None]:
    """What cannot be written becomes one clear line."""
    try:
        yield
    except OSError as error:
        full = "free some space there, or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise OutputError(
            f"the cache folder {cache_folder()} cannot be written ({error.strerror or error}); "
            f"{full}set ABLATE_CACHE to a folder that can"
        ) from error
