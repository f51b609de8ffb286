"""A Zstandard file as a stream of bytes that can be sought, as gzip's and lzma's can."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, Any, cast

PIECE_BYTES = 2**20


def open_zstandard(path: Path) -> IO[bytes]:
    """The file's content.

    Raises:
        OSError: while it is read: it is cut short, or no Zstandard.
    """
    return cast(IO[bytes], io.BufferedReader(_Content(path), PIECE_BYTES))


class _Content(io.RawIOBase):
    """pyarrow decompresses (Python 3.14 does too); it cannot seek, so going back begins again."""

    def __init__(self, path: Path) -> None:
        self.path, self.at = path, 0
        self.stream = _stream(path)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def readinto(self, buffer: Any) -> int:
        data = self.stream.read(len(buffer))
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        wanted = offset + (self.at if whence == io.SEEK_CUR else 0)
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("the end of a compressed stream is not known")
        if wanted < self.at:
            self.stream.close()
            self.stream, self.at = _stream(self.path), 0
        while self.at < wanted and (data := self.stream.read(min(PIECE_BYTES, wanted - self.at))):
            self.at += len(data)
        return self.at

    def close(self) -> None:
        self.stream.close()
        super().close()


def _stream(path: Path) -> Any:
    import pyarrow

    return pyarrow.CompressedInputStream(pyarrow.OSFile(str(path), "rb"), "zstd")
