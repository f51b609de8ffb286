"""The cache folder: arrays and small JSON, written atomically, never as a pickle.

Everything in it can be deleted at any time and is built again. Several processes may write the same
entry at once: each writes beside it and moves its own into place, and whoever is late discards.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from ablate.errors import OutputError

FACTS = "facts.json"


@dataclass(frozen=True)
class CacheEntry:
    """Named arrays, opened read-only as memory maps, and the facts stored with them."""

    arrays: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Draft:
    """An entry under construction in a folder of its own; facts are JSON values."""

    folder: Path
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def allocate(self, name: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """A new uint8 array of the entry that lives in its file, not in memory."""
        path = self.folder / f"{name}.npy"
        self.arrays[name] = np.lib.format.open_memmap(path, "w+", dtype=np.uint8, shape=shape)
        return self.arrays[name]

    def let_go(self) -> None:
        """Give back the memory that filling in what lies in files has taken so far."""
        for array in self.arrays.values():
            let_go(array)

    def write(self) -> None:
        """Bring everything to disk."""
        for name, array in self.arrays.items():
            if isinstance(array, np.memmap):
                array.flush()
            else:
                np.save(self.folder / f"{name}.npy", array, allow_pickle=False)
        described = {name: _described(array) for name, array in self.arrays.items()}
        text = json.dumps({"arrays": described, "facts": self.facts})
        (self.folder / FACTS).write_text(text, encoding="utf-8")


def cache_folder() -> Path:
    """$ABLATE_CACHE, else the folder that this system has for caches: on Linux $XDG_CACHE_HOME/ablate or
    ~/.cache/ablate. Not created here.
    """
    if own := os.environ.get("ABLATE_CACHE"):
        return Path(own).expanduser()
    return user_cache_path("ablate", appauthor=False)


def load_json(name: str) -> Any | None:
    """What `store_json` stored under that name; None if there is nothing that can be read."""
    try:
        return json.loads((cache_folder() / f"{name}.json").read_bytes())
    except (OSError, ValueError):
        return None


def store_json(name: str, value: object) -> None:
    """Store a JSON value.

    Raises:
        OutputError: the cache folder cannot be written.
    """
    with _writing() as folder:
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(value, file)
        os.replace(temporary, folder / f"{name}.json")


def load_arrays(name: str) -> CacheEntry | None:
    """The entry of that name; None if there is none, or if its files are not what was stored."""
    folder = cache_folder() / name
    try:
        stored = json.loads((folder / FACTS).read_bytes())
        described, facts = stored["arrays"], stored["facts"]
        arrays = {
            key: np.load(folder / f"{key}.npy", mmap_mode="r", allow_pickle=False)
            for key in described
        }
        sound = all(_described(array) == described[key] for key, array in arrays.items())
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    return CacheEntry(arrays, facts) if sound else None


def let_go(array: NDArray[Any]) -> None:
    """Give back the memory that reading and writing a memory map has taken: all of it is in the file, or
    in what the system keeps of it. An array that has no file, or differs from it, stays as it is.
    """
    shared = isinstance(array, np.memmap) and array.mode != "c"
    # Not on every system; memory is then taken until the map is closed.
    if shared and isinstance(array.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        array.base.madvise(mmap.MADV_DONTNEED)


@contextmanager
def new_arrays(name: str) -> Iterator[Draft]:
    """Store the entry that the block fills in; nothing is left behind if the block raises.

    Raises:
        OutputError: the cache folder cannot be written.
    """
    with _writing() as parent:
        draft = Draft(Path(tempfile.mkdtemp(dir=parent, prefix=f".{name}-")))
    try:
        yield draft
        with _writing():
            draft.write()
            _move_into_place(draft.folder, parent / name)
    finally:
        shutil.rmtree(draft.folder, ignore_errors=True)


def _described(array: NDArray[Any]) -> list[Any]:
    return [str(array.dtype), *array.shape]


def _move_into_place(folder: Path, target: Path) -> None:
    """Give a finished folder its name, unless a sound entry has it already."""
    try:
        os.replace(folder, target)
    except OSError:
        if load_arrays(target.name) is not None:
            return
        # What stands there is broken, and a folder cannot replace one that is not empty.
        shutil.rmtree(target)
        os.replace(folder, target)


@contextmanager
def _writing() -> Iterator[Path]:
    """The cache folder, created; what cannot be written becomes one clear line."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    except OSError as error:
        raise OutputError(
            f"the cache folder {folder} cannot be written ({error.strerror or error}); "
            "set ABLATE_CACHE to a folder that can"
        ) from error
