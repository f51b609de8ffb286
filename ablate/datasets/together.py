"""Images decoded on all cores into their rows, chunk by chunk, while the next files are found."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from ablate.datasets.workers import Decoders
from ablate.pixels.geometry import Reading
from ablate.pixels.rows import Chunk, Reply, Wanted

MOST_IMAGES, MOST_BYTES = 32, 2**21
"""In one chunk; one file may be larger."""
AHEAD = 2
"""Chunks in work or ready for each core: bytes of files, which have a cap each."""


@dataclass(frozen=True)
class Source:
    """An image of a data set: its name, the size of its file, and how it is decoded."""

    name: str
    size: int
    wanted: Wanted


def decoded(
    files: Iterable[Source], decoders: Decoders, size: int, reading: Reading
) -> Iterator[tuple[tuple[str, ...], Reply]]:
    """The names of each chunk's images with what became of them, in their order. The next files are found,
    or read from an archive, by the caller's thread, since an archive has them in turn.
    """
    waiting: deque[tuple[tuple[str, ...], Future[Reply]]] = deque()
    for chunk in _chunks(files):
        wanted = Chunk(tuple(source.wanted for source in chunk), size, reading)
        waiting.append((tuple(source.name for source in chunk), decoders.submit(wanted)))
        if len(waiting) >= AHEAD * decoders.slots:
            yield _next(waiting)
    while waiting:
        yield _next(waiting)


def _next(
    waiting: deque[tuple[tuple[str, ...], Future[Reply]]],
) -> tuple[tuple[str, ...], Reply]:
    names, future = waiting.popleft()
    return names, future.result()


def _chunks(files: Iterable[Source]) -> Iterator[list[Source]]:
    chunk: list[Source] = []
    size = 0
    for source in files:
        if chunk and (len(chunk) >= MOST_IMAGES or size + source.size > MOST_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(source)
        size += source.size
    if chunk:
        yield chunk
