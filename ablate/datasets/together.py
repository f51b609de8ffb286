"""Images decoded on all cores: Pillow and hashlib let other threads run while they work."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from ablate.datasets.decode import decode
from ablate.errors import UnreadableImageError
from ablate.system.processor import count_cores

Decoded = tuple[str, str, NDArray[np.uint8] | UnreadableImageError]
AHEAD = 4
"""Images in work or read ahead for each core: bytes of files, which have a cap each."""


def decoded(files: Iterable[tuple[str, bytes]], size: int) -> Iterator[Decoded]:
    """Name, SHA-256 of the file and pixels of each image, or what is wrong with it, in their order. The
    next file is read by the caller's thread, since an archive has them in turn.
    """
    cores = count_cores()
    waiting: deque[Future[Decoded]] = deque()
    with ThreadPoolExecutor(cores, thread_name_prefix="decode") as pool:
        try:
            for name, data in files:
                waiting.append(pool.submit(_decoded, name, data, size))
                if len(waiting) > AHEAD * cores:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _decoded(name: str, data: bytes, size: int) -> Decoded:
    found = hashlib.sha256(data).hexdigest()
    try:
        return name, found, decode(data, size)
    except UnreadableImageError as error:
        return name, found, error
