"""Whether images are still those of a run's key, while it is trained on them.

Asked after every epoch, which must cost next to nothing: most of the time the filesystem is asked, and
not the bytes.
What that proves and what it does not stands in docs/identity.md.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from ablate.datasets.arrays import OpenFile, StoredArray
from ablate.datasets.base import Images
from ablate.system.files.state import FileState

MOST_SHARE = 0.01
"""Of the time of training that is spent hashing files which look unchanged."""
BYTES_PER_SECOND = 2**30
"""How fast they are hashed, until it was measured."""


@dataclass
class Unchanged:
    """Proves it for those arrays of `images` that were hashed when they were read. `seconds` is what hashing
    them again took.
    """

    images: Images
    seconds: float = 0.0
    _begun: float = field(init=False, default_factory=time.monotonic)
    _seen: dict[str, FileState | None] = field(init=False)
    _settled: bool = field(init=False)
    _hash_seconds: float = field(init=False)

    def __post_init__(self) -> None:
        files = self._files()
        self._seen = {name: file.opened if file else None for name, file in files.items()}
        self._settled = all(
            file is not None and file.opened.is_settled(file.opened_ns) for file in files.values()
        )
        size = sum(self.images.arrays[name].nbytes for name in self.images.hashes)
        self._hash_seconds = size / BYTES_PER_SECOND

    def prove(self, *, thoroughly: bool) -> None:
        """Hash what looks changed; `thoroughly`, as before a checkpoint, also what may have changed without
        looking so, and what does not where that is cheap.

        Raises:
            DataChangedError: they are not what was read.
        """
        doubtful = thoroughly and (not self._settled or self._is_cheap())
        if doubtful or self._states() != self._seen:
            self._hash()

    def _hash(self) -> None:
        at_ns, started = time.time_ns(), time.perf_counter()
        before = self._states()
        self.images.check()
        self._seen = before
        self._settled = all(
            state is not None and state.is_settled(at_ns) for state in before.values()
        )
        self._hash_seconds = time.perf_counter() - started
        self.seconds += self._hash_seconds

    def _is_cheap(self) -> bool:
        spent = self.seconds + self._hash_seconds
        return spent <= MOST_SHARE * (time.monotonic() - self._begun)

    def _files(self) -> dict[str, OpenFile | None]:
        """Those of the arrays that lie in one; None where nobody kept it open. What is in this process's own
        memory nobody else can change.
        """
        arrays = {name: self.images.arrays[name] for name in self.images.hashes}
        return {
            name: array.source if isinstance(array, StoredArray) else None
            for name, array in arrays.items()
            if isinstance(array, np.memmap)
        }

    def _states(self) -> dict[str, FileState | None]:
        return {name: _state(file) for name, file in self._files().items()}


def _state(file: OpenFile | None) -> FileState | None:
    """None if that cannot be said, as of a file on a server that has lost it."""
    try:
        return file.state() if file is not None else None
    except OSError:
        return None
