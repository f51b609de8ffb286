"""How a process and those that decode for it write to each other: a line of JSON, and files behind it.

No pickle: what a process of another program may have written into a pipe runs nothing here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import IO, Any

from ablate.pixels.geometry import Reading
from ablate.pixels.rows import Chunk, Reply, Seen, Wanted

Stream = IO[bytes]


def send_chunk(stream: Stream, chunk: Chunk) -> None:
    """Write a chunk: an image that is given by its bytes has their number in its place, and them behind."""
    files = [each.source for each in chunk.images if isinstance(each.source, bytes)]
    images = [
        [each.source if isinstance(each.source, str) else len(each.source), *_place(each)]
        for each in chunk.images
    ]
    _send(stream, {"images": images, "size": chunk.size, "reading": asdict(chunk.reading)}, files)


def receive_chunk(stream: Stream) -> Chunk | None:
    """The next chunk; None where there will be no more.

    Raises:
        EOFError: it ends in the middle.
    """
    told = _receive(stream)
    if told is None:
        return None
    images = tuple(
        Wanted(source if isinstance(source, str) else _exactly(stream, source), *place)
        for source, *place in told["images"]
    )
    return Chunk(images, told["size"], Reading(**told["reading"]))


def send_reply(stream: Stream, reply: Reply) -> None:
    """Write what became of a chunk."""
    error = None
    if reply.error is not None:
        error = [reply.error.errno, reply.error.strerror or str(reply.error), reply.error.filename]
    seen = [[each.mark, each.shaped_by_alpha, each.unreadable] for each in reply.images]
    told = {"images": seen, "counts": reply.counts, "error": error, "writing": reply.writing}
    _send(stream, {**told, "raised": reply.raised}, [])


def receive_reply(stream: Stream) -> Reply:
    """The answer to a chunk.

    Raises:
        EOFError: there is none, or not all of it.
    """
    told = _receive(stream)
    if told is None:
        raise EOFError("no answer")
    images = tuple(Seen(*each) for each in told["images"])
    error = None if told["error"] is None else OSError(*told["error"])
    return Reply(images, tuple(told["counts"]), error, told["writing"], told["raised"])


def _place(wanted: Wanted) -> Iterator[Any]:
    yield from (wanted.target, wanted.offset, wanted.counted)


def _send(stream: Stream, told: dict[str, Any], files: list[bytes]) -> None:
    stream.write(json.dumps(told).encode() + b"\n")
    for content in files:
        stream.write(content)
    stream.flush()


def _receive(stream: Stream) -> dict[str, Any] | None:
    line = stream.readline()
    if line and not line.endswith(b"\n"):
        raise EOFError("half a line")
    told: dict[str, Any] | None = json.loads(line) if line else None
    return told


def _exactly(stream: Stream, count: int) -> bytes:
    content = stream.read(count)
    if len(content) != count:
        raise EOFError(f"{len(content):,} of {count:,} bytes")
    return content
