"""Histograms of a network's weights and gradients as plain arrays, and as bytes. No torch."""

from __future__ import annotations

import io
import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ablate.errors import DatabaseError
from ablate.system.files.packed import unpack_arrays

Array = NDArray[Any]


@dataclass(frozen=True)
class Histogram:
    """How the values of one tensor are spread over equal bins from `low` to `high`.

    Shape: counts (bins,). `total` and `squares` are the sums of the values and of their squares.
    """

    low: float
    high: float
    total: float
    squares: float
    counts: Array


def pack(histograms: dict[str, Histogram]) -> bytes:
    """A compressed npz without pickle: a few kilobytes for a network."""
    each = histograms.values()
    facts = np.array([(h.low, h.high, h.total, h.squares) for h in each], dtype=np.float64)
    counts = np.array([h.counts for h in each], dtype=np.int64)
    names = np.frombuffer(json.dumps(list(histograms)).encode(), dtype=np.uint8)
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, facts=facts, counts=counts, names=names)
    return packed.getvalue()


DAMAGED = (
    *(ValueError, TypeError, LookupError, ArithmeticError, EOFError, OSError, MemoryError),
    *(BadZipFile, zlib.error, struct.error),
    RuntimeError,  # zipfile: encrypted; its NotImplementedError: an unknown version or compression
)
"""What the readers of npz files raise for bytes that were changed."""


class DamagedError(Exception):
    """Bytes that `pack` did not make."""


def unpack(content: bytes) -> dict[str, Histogram]:
    """The histograms that `pack` made, by the tensor's name.

    Raises:
        DamagedError: they were changed since, or unpack to more than any of ours.
    """
    try:
        arrays = unpack_arrays(content)
        names = json.loads(arrays["names"].tobytes())
        return {
            str(name): Histogram(low, high, total, squares, row)
            for name, (low, high, total, squares), row in zip(
                names, arrays["facts"].tolist(), arrays["counts"], strict=True
            )
        }
    except (DatabaseError, RecursionError, *DAMAGED) as error:
        raise DamagedError(str(error).partition(".")[0]) from None
