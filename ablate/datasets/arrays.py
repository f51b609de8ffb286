"""Arrays that may be larger than memory, in a file behind a memory map."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

PIECE_BYTES = 2**26
"""Hashed at a time, before the memory that it took is given back."""


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
