"""The members of a zip."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ablate.datasets.containers.member import RawMember
from ablate.errors import DataError

UTF8_FLAG = 0x800
ENCRYPTED_FLAG = 0x1
"""Bits of a member's flags. Source: PKWARE's APPNOTE, 4.4.4."""


def members(path: Path) -> Iterator[RawMember]:
    """In the order of its directory.

    Raises:
        DataError: when one is read that is encrypted, or compressed by a method that is not known here.
    """
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            # Windows PowerShell and older .NET write backslashes, against the format's specification.
            name = _name(info).replace("\\", "/")
            is_folder = name.endswith("/")
            is_file = not is_folder and stat.S_IFMT(mode) in (0, stat.S_IFREG)
            read = partial(_unzipped, archive, info)
            yield RawMember(name, is_folder, is_file, read, info.file_size)


def _name(info: zipfile.ZipInfo) -> str:
    """A name that is not marked as UTF-8 is taken for it all the same; what it is else, such as GBK, the
    archive does not say: then bytes stay as they are, and whoever judges names sees that.
    """
    if info.flag_bits & UTF8_FLAG or info.filename.isascii():
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # an extra field of the zip had the name in Unicode
        return info.filename


def _unzipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo, count: int) -> bytes:
    instead = "unpack it and give --data the folder"
    if info.flag_bits & ENCRYPTED_FLAG:
        raise DataError(f"{archive.filename}: {info.filename!r} is encrypted; {instead}")
    try:
        with archive.open(info) as stream:
            return stream.read(count)  # all of it also checks its sum
    except (
        NotImplementedError
    ) as error:  # Deflate64, which Windows takes for large files, among others
        method = f"method {info.compress_type}"
        raise DataError(
            f"{archive.filename}: {info.filename!r} is compressed in a way that is not read here ({method}); "
            f"{instead}"
        ) from error
