"""Arrays that may be larger than memory, in a file behind a memory map."""

from __future__ import annotations

import hashlib
import mmap
import os
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.system.files.state import FileState, state_of

PIECE_BYTES = 2**26
"""Hashed at a time, before the memory that it took is given back."""


@dataclass(frozen=True)
class OpenFile:
    """The file behind an array, as it was when it was opened, at that moment."""

    handle: int
    opened: FileState
    opened_ns: int

    def state(self) -> FileState:
        """As it is now, wherever it lies and even if it has no name any more."""
        return state_of(os.fstat(self.handle))


class StoredArray(np.memmap[Any, np.dtype[Any]]):
    """A read-only map of a whole file, which it keeps open: who reads the file by `source` reads the very
    one that is mapped, whatever has got its name since. Parts of one have no source.
    """

    source: OpenFile | None = None


def open_array(path: Path) -> StoredArray:
    """Map the array of a .npy file.

    Raises:
        OSError, ValueError: there is none, or none that can be mapped.
    """
    with path.open("rb") as file:
        handle = os.dup(file.fileno())
        try:
            source = OpenFile(handle, state_of(os.fstat(handle)), time.time_ns())
            readers = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }
            version = np.lib.format.read_magic(file)
            if version not in readers:
                raise ValueError(f"{path}: a .npy file of version {version}")
            shape, by_columns, dtype = readers[version](file)
            array = StoredArray(
                file,
                dtype,
                "r",
                file.tell(),
                shape,
                "F" if by_columns else "C",
            )
        except BaseException:
            os.close(handle)
            raise
    array.source = source
    weakref.finalize(array, os.close, handle)
    return array


def array_hashes(arrays: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """SHA-256 of each array's values, about 1 s for each GiB; of a file's map only a part is in memory."""
    return {name: _array_hash(array) for name, array in arrays.items()}


def let_go(array: NDArray[Any]) -> None:
    """Give back the memory that reading a memory map has taken: all of it is in the file, or in what the
    system keeps of it. An array that has no file, or differs from it, stays as it is.
    """
    shared = isinstance(array, np.memmap) and array.mode != "c"
    # Not on every system; memory is then taken until the map is closed.
    if shared and isinstance(array.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        array.base.madvise(mmap.MADV_DONTNEED)


def _array_hash(array: NDArray[Any]) -> str:
    found = hashlib.sha256()
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    for start in range(0, len(flat), PIECE_BYTES):
        found.update(flat[start : start + PIECE_BYTES].data)
        let_go(array)
    return found.hexdigest()
