"""What a folder, a zip or a tar holds, member by member, as it has them: nothing is judged here."""

from __future__ import annotations

import gzip
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, cast

from ablate.errors import DataError
from ablate.system.file_state import FileState, state_of

SPLITS = ("train", "test")
ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar.xz", ".tar", ".zip")


@dataclass(frozen=True)
class RawMember:
    """A member as the container has it, before it is judged."""

    name: str
    size: int
    is_folder: bool
    is_file: bool
    read: Callable[[int], bytes]
    """The first bytes, as many as asked for; all of them for -1."""
    file: str | None = None
    state: FileState | None = None
    """Of a file of its own: its path, and how it was found."""


def members_of(path: Path) -> Iterator[RawMember]:
    """All that lies below train and test in a folder, or all members of an archive, in its order.

    Raises:
        DataError: neither a folder nor an archive. While it is read also whatever a damaged container raises.
    """
    return _reader(path)(path)


def _reader(path: Path) -> Callable[[Path], Iterator[RawMember]]:
    if path.is_dir():
        return _folder
    suffix = archive_suffix(path)
    if not suffix:
        raise DataError(
            f"{path}: is neither a folder nor an archive ({', '.join(ARCHIVE_SUFFIXES)}); "
            "give --data one of these"
        )
    return _zip if suffix == ".zip" else _tar


def archive_suffix(path: Path) -> str:
    """`.tar.gz` of `pets.tar.gz`; empty if the name is no archive's."""
    return next((s for s in ARCHIVE_SUFFIXES if path.name.lower().endswith(s)), "")


def _folder(path: Path) -> Iterator[RawMember]:
    for top in [path, *sorted(child for child in path.iterdir() if child.is_dir())]:
        for split in SPLITS:
            if (top / split).is_dir():
                yield from _walk(top / split, (top / split).relative_to(path).as_posix())


def _walk(folder: Path, name: str) -> Iterator[RawMember]:
    """What is in a folder of that name. Not with `Path`, which takes half a second for 10,000 files."""
    with os.scandir(folder) as found:
        children = sorted(found, key=lambda child: child.name)
    for child in children:
        inner = f"{name}/{child.name}"
        is_folder, is_file = child.is_dir(), child.is_file()
        state = state_of(os.stat(child.path)) if is_file else None
        size = state.size if state is not None else 0
        read = partial(_start_of, child.path)
        yield RawMember(inner, size, is_folder, is_file, read, child.path, state)
        # A link to a folder is followed to a class, never deeper: no loops.
        if is_folder and not (child.is_symlink() and folder.name not in SPLITS):
            yield from _walk(Path(child.path), inner)


def _start_of(file: str, count: int) -> bytes:
    with open(file, "rb") as stream:
        return stream.read(count)


def _zip(path: Path) -> Iterator[RawMember]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            # Windows PowerShell and older .NET write backslashes, against the format's specification.
            name = info.filename.replace("\\", "/")
            is_folder = name.endswith("/")
            is_file = not is_folder and stat.S_IFMT(mode) in (0, stat.S_IFREG)
            yield RawMember(
                name, info.file_size, is_folder, is_file, partial(_unzipped, archive, info)
            )


def _unzipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo, count: int) -> bytes:
    with archive.open(info) as stream:
        return stream.read(count)  # all of it also checks its sum


def _tar(path: Path) -> Iterator[RawMember]:
    with ExitStack() as stack:
        stream = stack.enter_context(_decompressed(path))
        # Not decompressed by tarfile, whose streams end silently where a file is cut short.
        archive = stack.enter_context(tarfile.open(fileobj=stream, mode="r:"))
        for info in iter(archive.next, None):
            archive.members.clear()  # type: ignore[attr-defined]  # else all headers stay in memory
            yield RawMember(
                info.name,
                info.size,
                info.isdir(),
                info.isreg() and not info.issparse(),
                partial(_contents, stream, info),
            )
        _check_end(stream, archive.offset)


def _contents(stream: IO[bytes], info: tarfile.TarInfo, count: int) -> bytes:
    stream.seek(info.offset_data)
    wanted = info.size if count < 0 else min(count, info.size)
    data = stream.read(wanted)
    if len(data) != wanted:
        raise EOFError(f"{info.name!r} ends after {len(data):,} of {info.size:,} bytes")
    return data


def _decompressed(path: Path) -> IO[bytes]:
    suffix = archive_suffix(path)
    if suffix == ".tar":
        return path.open("rb")
    return cast(IO[bytes], lzma.open(path) if suffix == ".tar.xz" else gzip.open(path))


def _check_end(stream: IO[bytes], offset: int) -> None:
    """Raise unless a tar ends as it should, in zeros to the end that its compression confirms."""
    stream.seek(offset)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise EOFError("the end mark is missing")
    while chunk := stream.read(2**20):
        if chunk.strip(b"\0"):
            raise EOFError("something follows its end mark, such as another archive")
