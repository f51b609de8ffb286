"""A chunk of images, decoded into the rows of files: the work of one process at a time, and its answer."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from operator import add
from pathlib import Path
from typing import BinaryIO

from ablate.errors import UnreadableImageError
from ablate.pixels.decode import decode_image
from ablate.pixels.geometry import Reading, marked

LEVELS = 3 * 256
"""How often each value of red, of green and of blue occurs."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An image, by the bytes of its file or by its path, and where in which file its pixels go. The values of
    those that are `counted` are added up.
    """

    source: bytes | str
    target: str
    offset: int
    counted: bool


@dataclass(frozen=True, slots=True)
class Chunk:
    """Images that one process decodes in a row."""

    images: tuple[Wanted, ...]
    size: int
    reading: Reading


@dataclass(frozen=True, slots=True)
class Seen:
    """What an image is (`marked`), and what is wrong with it where its row was not written."""

    mark: str
    shaped_by_alpha: bool = False
    unreadable: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a chunk: of its images as many as were decoded before a file could not be read, or a row
    not be written, which is `error`. `counts` has LEVELS numbers. `raised` is the traceback of what nobody
    foresaw.
    """

    images: tuple[Seen, ...]
    counts: tuple[int, ...]
    error: OSError | None = None
    writing: bool = False
    raised: str | None = None


def decode_chunk(chunk: Chunk) -> Reply:
    """Decode each image into its row."""
    seen: list[Seen] = []
    counts = [0] * LEVELS
    targets: dict[str, BinaryIO] = {}
    with ExitStack() as files:
        for wanted in chunk.images:
            try:
                data = _bytes_of(wanted.source)
            except OSError as error:
                return Reply(tuple(seen), tuple(counts), error)
            mark = marked(data)
            try:
                found = decode_image(data, chunk.size, chunk.reading)
            except UnreadableImageError as error:
                seen.append(Seen(mark, unreadable=str(error)))
                continue
            try:
                if wanted.target not in targets:
                    target = Path(wanted.target).open("r+b", buffering=0)  # noqa: SIM115 - for all of the chunk
                    targets[wanted.target] = files.enter_context(target)
                _write(targets[wanted.target], wanted.offset, found.square.tobytes())
            except OSError as error:
                return Reply(tuple(seen), tuple(counts), error, writing=True)
            if wanted.counted:
                counts = list(map(add, counts, found.square.histogram()))
            seen.append(Seen(mark, found.shaped_by_alpha))
    return Reply(tuple(seen), tuple(counts))


def _bytes_of(source: bytes | str) -> bytes:
    return source if isinstance(source, bytes) else Path(source).read_bytes()


def _write(file: BinaryIO, offset: int, content: bytes) -> None:
    """An ordinary write: on a full disk a memory map would end the process."""
    left = memoryview(content)
    file.seek(offset)
    while left:
        left = left[file.write(left) :]
