"""Packed arrays (npz) from a file that may be somebody else's: sizes and shapes are read before anything is
unpacked.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ablate.errors import DatabaseError

MOST_BYTES = 256 * 2**20
"""What all arrays of one archive may take; a run's pictures are a few megabytes."""
MOST_ARRAYS = 10_000
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def unpack_arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an npz by their names.

    Raises:
        DatabaseError: no such archive, or one that unpacks to more than any of ours.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if size > MOST_BYTES or len(members) > MOST_ARRAYS:
                raise DatabaseError(
                    f"packed arrays unpack to {size / 2**20:,.0f} MiB in {len(members):,} parts: at most "
                    f"{MOST_BYTES // 2**20} MiB in {MOST_ARRAYS:,} are unpacked: ablate did not write them"
                )
            return {m.filename.removesuffix(".npy"): _array(archive, m) for m in members}
    except (ValueError, KeyError, EOFError, OSError, RuntimeError, SyntaxError) as error:
        raise _damaged(error) from None
    except (zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise _damaged(error) from None


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(member) as packed:
        file = io.BytesIO(packed.read(member.file_size))  # never more than was announced
    shape, columns_first, dtype = _HEADERS[npy.read_magic(file)](file)
    values = file.read()
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(values):
        raise ValueError(f"{member.filename[:40]!r} is not of the shape that it names")
    return np.frombuffer(values, dtype).reshape(shape, order="F" if columns_first else "C")


def _damaged(error: Exception) -> DatabaseError:
    said = " ".join(str(error).split())[:100]
    return DatabaseError(f"packed arrays are damaged, or not written by ablate: {said}")
