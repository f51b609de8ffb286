"""The rows of an entry of the cache while images are decoded into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from ablate.datasets.archive import clear_errors
from ablate.datasets.cache import Draft, Rows, told
from ablate.datasets.decode import Unreadable
from ablate.datasets.growing import GrowingHash
from ablate.datasets.layouts.parts import TRAIN
from ablate.errors import UnreadableImageError
from ablate.pixels.rows import LEVELS, Reply, Wanted


@dataclass(frozen=True)
class Filled:
    """How often each value of a channel occurs in the images to train on, and how many of all images had a
    shape in their transparency.
    """

    counts: tuple[int, ...]
    shaped_by_alpha: int


@dataclass(frozen=True)
class _Row:
    part: str
    rows: Rows
    number: int


class Filling:
    """Knows the row of each image by its name, and what has been written so far; `marks` is what images were
    found to be.
    """

    def __init__(self, draft: Draft, names: Mapping[str, Sequence[str]]) -> None:
        self.marks: dict[str, str] = {}
        self._draft = draft
        self._counts = np.zeros(LEVELS, dtype=np.int64)
        self._shaped = 0
        self._of: dict[str, _Row] = {}
        self._hashes: dict[str, GrowingHash] = {}
        self._open = ExitStack()
        for part in (part for part in names if names[part]):
            rows = draft.rows[f"{part}_images"]
            own = {name: _Row(part, rows, number) for number, name in enumerate(names[part])}
            self._of.update(own)
            self._hashes[part] = self._open.enter_context(GrowingHash(rows))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._open.close()

    def wanted(self, name: str, source: bytes | str) -> Wanted:
        """How an image is decoded into its row."""
        row = self._of[name]
        offset = row.rows.offset(row.number)
        return Wanted(source, str(row.rows.path), offset, counted=row.part == TRAIN)

    def add(self, names: Sequence[str], reply: Reply, source: Path, unreadable: Unreadable) -> None:
        """Take in what became of some images.

        Raises:
            DataError: a file of the source cannot be read.
            OutputError: the cache folder cannot be written.
        """
        for name, seen in zip(names, reply.images, strict=False):
            self.marks[name] = seen.mark
            self._shaped += seen.shaped_by_alpha
            row = self._of[name]
            with unreadable.noting(name):
                if seen.unreadable is not None:
                    raise UnreadableImageError(seen.unreadable)
                self._hashes[row.part].wrote(row.number)
        self._counts += reply.counts
        if reply.error is not None:
            with told() if reply.writing else clear_errors(source):
                raise reply.error

    def finished(self) -> Filled:
        """What is known once all rows are written; the draft knows their hashes."""
        for part, growing in self._hashes.items():
            self._draft.hashes[f"{part}_images"] = growing.hexdigest()
        return Filled(tuple(self._counts.tolist()), self._shaped)
