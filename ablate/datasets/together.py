"""Images decoded on all cores: Pillow and hashlib let other threads run while they work."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from ablate.datasets.decode import Decoded, decode_image
from ablate.datasets.geometry import Reading, marked
from ablate.errors import UnreadableImageError
from ablate.system.processor import count_cores

Result = tuple[str, str, Decoded | UnreadableImageError]
AHEAD = 4
"""Images in work or read ahead for each core: bytes of files, which have a cap each."""


def decoded(files: Iterable[tuple[str, bytes]], size: int, reading: Reading) -> Iterator[Result]:
    """Name, mark (`marked`) and pixels of each image, or what is wrong with it, in their order. The next file
    is read by the caller's thread, since an archive has them in turn.
    """
    cores = count_cores()
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(cores, thread_name_prefix="decode") as pool:
        try:
            for name, data in files:
                waiting.append(pool.submit(_decoded, name, data, size, reading))
                if len(waiting) > AHEAD * cores:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _decoded(name: str, data: bytes, size: int, reading: Reading) -> Result:
    found = marked(data)
    try:
        return name, found, decode_image(data, size, reading)
    except UnreadableImageError as error:
        return name, found, error
