"""The members of a tar, whatever compresses it."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, cast

from ablate.datasets.containers.member import RawMember
from ablate.datasets.containers.zstd import open_zstandard


def plain(path: Path) -> Iterator[RawMember]:
    return _members(path, lambda: path.open("rb"))


def gzipped(path: Path) -> Iterator[RawMember]:
    return _members(path, lambda: cast(IO[bytes], gzip.open(path)))


def xzipped(path: Path) -> Iterator[RawMember]:
    return _members(path, lambda: cast(IO[bytes], lzma.open(path)))


def bzipped(path: Path) -> Iterator[RawMember]:
    return _members(path, lambda: cast(IO[bytes], bz2.open(path)))


def zstandard(path: Path) -> Iterator[RawMember]:
    return _members(path, lambda: open_zstandard(path))


def _members(path: Path, opened: Callable[[], IO[bytes]]) -> Iterator[RawMember]:
    """In the order in which they lie there."""
    with ExitStack() as stack:
        stream = stack.enter_context(opened())
        # Not decompressed by tarfile, whose streams end silently where a file is cut short.
        archive = stack.enter_context(tarfile.open(fileobj=stream, mode="r:"))
        for info in iter(archive.next, None):
            archive.members.clear()  # type: ignore[attr-defined]  # else all headers stay in memory
            yield RawMember(
                info.name,
                info.isdir(),
                info.isreg() and not info.issparse(),
                partial(_contents, stream, info),
                info.size,
                is_link=info.linkname if info.islnk() else None,
            )
        _check_end(stream, archive.offset)


def _contents(stream: IO[bytes], info: tarfile.TarInfo, count: int) -> bytes:
    stream.seek(info.offset_data)
    wanted = info.size if count < 0 else min(count, info.size)
    data = stream.read(wanted)
    if len(data) != wanted:
        raise EOFError(f"{info.name!r} ends after {len(data):,} of {info.size:,} bytes")
    return data


def _check_end(stream: IO[bytes], offset: int) -> None:
    """Raise unless a tar ends as it should, in zeros to the end that its compression confirms."""
    stream.seek(offset)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise EOFError("the end mark is missing")
    while chunk := stream.read(2**20):
        if chunk.strip(b"\0"):
            raise EOFError("something follows its end mark, such as another archive")
