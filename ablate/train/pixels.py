"""Images where they are stored: a batch is gathered from them when it is needed, and nothing else copied."""

from __future__ import annotations

import copy
import os
import weakref
from collections.abc import Callable
from mmap import mmap
from typing import Protocol, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray

from ablate.errors import DataChangedError

Rows = torch.Tensor | slice | list[int]

PIECE_BYTES = 2**20
"""Turned from (H, W, 3) to (3, H, W) at a time, so that a batch is not held twice. No size is faster."""


class Pixels(Protocol):
    """Images (N, 3, H, W) uint8 from which rows are taken, as a tensor. A tensor of images is one."""

    @property
    def shape(self) -> torch.Size: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Rows, /) -> torch.Tensor: ...


class StoredPixels:
    """Some rows of an array of images (N, H, W, 3), or of the file behind a read-only memory map.

    A map's pages would count as this process's memory once they were read, and go on doing so. Its
    file is read instead, a batch at a time: what the system keeps of it, all processes share.

    Raises:
        DataChangedError: when rows are taken: the file is shorter than it was.
    """

    def __init__(self, stored: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
        self._rows = rows
        self._gather: Callable[[NDArray[np.int64]], NDArray[np.uint8]] = (
            _ImageFile(stored) if _is_whole_map(stored) else stored.__getitem__
        )
        height, width, channels = stored.shape[1:]
        self.shape = torch.Size((len(rows), channels, height, width))
        self._piece = max(1, PIECE_BYTES // (height * width * channels))

    def __len__(self) -> int:
        return len(self._rows)

    def of(self, rows: NDArray[np.int64]) -> StoredPixels:
        """Some of these images, read from the same place."""
        some = copy.copy(self)
        some._rows = self._rows[rows]
        some.shape = torch.Size((len(rows), *self.shape[1:]))
        return some

    def __getitem__(self, rows: Rows, /) -> torch.Tensor:
        """A copy, contiguous as (B, 3, H, W)."""
        chosen = self._rows[rows if isinstance(rows, slice) else np.asarray(rows)]
        batch = torch.empty((len(chosen), *self.shape[1:]), dtype=torch.uint8)
        pixels = batch.numpy()
        for start in range(0, len(chosen), self._piece):
            piece = slice(start, start + self._piece)
            pixels[piece] = self._gather(chosen[piece]).transpose(0, 3, 1, 2)
        return batch


class _ImageFile:
    """The images of a memory map, read from its file."""

    def __init__(self, mapped: np.memmap) -> None:
        self._path, self._start, self._shape = str(mapped.filename), mapped.offset, mapped.shape[1:]
        # Its own file, not what has its name by now; other maps keep none open.
        source = getattr(mapped, "source", None)
        self._file = os.dup(source.handle) if source else os.open(self._path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        images = np.empty((len(rows), *self._shape), dtype=np.uint8)
        size = images[:1].nbytes
        to = images.data.cast("B")
        for place, row in enumerate(rows.tolist()):
            # At a place of its own, not after a seek: a forked process shares how far a file was read.
            part = to[place * size : (place + 1) * size]
            if os.preadv(self._file, [part], self._start + row * size) != size:
                raise DataChangedError(
                    f"{self._path}: ends before image {row}, it was cut while a network was trained on it: "
                    "run again with --retry-failed"
                )
        return images


def _is_whole_map(stored: NDArray[np.uint8]) -> TypeGuard[np.memmap]:
    """Whether its file has these very bytes, in this order, from its offset on. A slice of a map has the
    offset of the whole, and a copy-on-write map may differ from its file.
    """
    return (
        isinstance(stored, np.memmap)
        and isinstance(stored.base, mmap)
        and stored.mode == "r"
        and stored.filename is not None
        and stored.flags.c_contiguous
    )
