"""The hash of an array whose rows are still being written, in any order: as far as they are there."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from ablate.datasets.cache import Rows

PIECE_BYTES = 2**22
"""Read at a time."""
WORTH_BYTES = 2**24
"""Less than that is not worth a start."""


class GrowingHash:
    """SHA-256 of the values of an array in a file, made by a thread of its own while others write rows."""

    def __init__(self, rows: Rows) -> None:
        self._there = bytearray(rows.shape[0])
        self._file = rows.path.open("rb", buffering=0)
        self._file.seek(rows.start)
        self._row_bytes = rows.row_bytes
        self._hash = hashlib.sha256()
        self._asked = self._first = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hash")

    def wrote(self, row: int) -> None:
        """A row is in the file now, and will not be written again."""
        self._there[row] = True
        while self._first < len(self._there) and self._there[self._first]:
            self._first += 1
        if (self._first - self._asked) * self._row_bytes >= WORTH_BYTES:
            self._go_on()

    def hexdigest(self) -> str:
        """The hash of all of it.

        Raises:
            OSError: the file cannot be read.
        """
        self._first = len(self._there)
        self._go_on().result()
        return self._hash.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._thread.shutdown(cancel_futures=True)
        self._file.close()

    def _go_on(self) -> Future[None]:
        count, self._asked = self._first - self._asked, self._first
        return self._thread.submit(self._add, count * self._row_bytes)

    def _add(self, count: int) -> None:
        while count:
            piece = self._file.read(min(count, PIECE_BYTES))
            if not piece:
                raise EOFError(f"{self._file.name} ends {count:,} bytes early")
            self._hash.update(piece)
            count -= len(piece)
