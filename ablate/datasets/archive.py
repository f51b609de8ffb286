"""Read image files from a folder or an archive, in memory and in order; nothing is ever extracted.

What counts is `train/<class>/<image>` and `test/<class>/<image>`, at the top or in one folder that
holds everything. A member that tries to be elsewhere (`..`, absolute, a link) is refused.
"""

from __future__ import annotations

import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, cast

from ablate.errors import DataError
from ablate.system.file_state import FileState, state_of

SPLITS = ("train", "test")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
OTHER_IMAGE_SUFFIXES = (".bmp", ".gif", ".tif", ".tiff", ".webp")
ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar.xz", ".tar", ".zip")

MAX_MEMBERS = 5_000_000
MAX_FILE_BYTES = 64 * 2**20
MAX_TOTAL_BYTES = 512 * 2**30

LAYOUT = "put images at train/<class>/<name>.jpg (or .png) and test/<class>/<name>.jpg"

_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,  # zipfile: encrypted; its NotImplementedError: an unknown compression
)


@dataclass(frozen=True)
class ArchiveMember:
    """An image with what reads its bytes, while it is this member's turn, or a class folder (`train/cat`)
    with None. An image that is a file of its own is known by its path and by how it was found.

    Raises:
        DataError: by `read`: it cannot be read.
    """

    name: str
    read: Callable[[], bytes] | None
    file: str | None = None
    state: FileState | None = None


@dataclass(frozen=True)
class _Raw:
    """A member as the container has it, before it is judged."""

    name: str
    size: int
    is_folder: bool
    is_file: bool
    read: Callable[[], bytes]
    file: str | None = None
    state: FileState | None = None


def label_of(path: Path) -> str:
    """The name of a folder or archive without its archive suffix: `cifar10-jpeg`."""
    name = path.resolve().name
    return name if path.is_dir() else name[: len(name) - len(_suffix(path))]


def read_members(path: Path) -> Iterator[ArchiveMember]:
    """The class folders and images, in the order in which the folder or archive has them.

    Raises:
        DataError: nothing there, no archive, broken, beyond a cap, or a member that is refused.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; give --data a folder or an archive")
    if not (path.is_file() or path.is_dir()):
        raise DataError(f"{path}: is neither a file nor a folder; give --data one of them")
    with _clear_errors(path):
        members, total, tops = 0, 0, set()
        for raw in _container(path)(path):
            members, total = members + 1, total + raw.size
            if members > MAX_MEMBERS or total > MAX_TOTAL_BYTES:
                raise DataError(
                    f"{path}: over {MAX_MEMBERS:,} members or {MAX_TOTAL_BYTES:,} bytes; split it"
                )
            placed = _placed(path, raw)
            if placed is None:
                continue
            top, name = placed
            tops.add(top)
            if len(tops) > 1:
                raise DataError(
                    f"{path}: train and test must lie side by side, not in {sorted(tops)}; keep one"
                )
            read = None if raw.is_folder else partial(_read, path, raw)
            yield ArchiveMember(name, read, raw.file, raw.state)


def _read(path: Path, raw: _Raw) -> bytes:
    with _clear_errors(path):
        return raw.read()


def _placed(path: Path, raw: _Raw) -> tuple[str, str] | None:
    """The folder above train or test, and the path from there on; None if the member is ignored."""
    # Not a `PurePosixPath`, which takes ten times as long.
    parts = [part for part in raw.name.split("/") if part not in ("", ".")]
    if raw.name.startswith("/") or ".." in parts:
        raise DataError(f"{path}: refuses the member {raw.name!r}; pack it with relative names")
    depth = next((i for i in (0, 1) if len(parts) > i and parts[i] in SPLITS), None)
    if depth is None or any(part.startswith((".", "__MACOSX")) for part in parts):
        return None
    inner = parts[depth:]
    suffix = os.path.splitext(inner[-1])[1].lower()
    is_image = suffix in IMAGE_SUFFIXES + OTHER_IMAGE_SUFFIXES
    if not (len(inner) == 2 if raw.is_folder else is_image):
        return None
    if refusal := _refusal(raw, len(inner), suffix):
        raise DataError(f"{path}: {raw.name!r} {refusal}")
    return "/".join(parts[:depth]), "/".join(inner)


def _refusal(raw: _Raw, depth: int, suffix: str) -> str | None:
    """What is wrong with a class folder or an image, and what to do; None if nothing is."""
    image = not raw.is_folder
    faults = (
        (not raw.name.isprintable(), "is not a printable name; rename it"),
        (image and suffix not in IMAGE_SUFFIXES, "is neither JPEG nor PNG; convert it"),
        (image and not raw.is_file, "is a link or a device; pack the file itself"),
        (image and depth != 3, f"is at the wrong depth; {LAYOUT}"),
        (raw.size > MAX_FILE_BYTES, f"is larger than {MAX_FILE_BYTES:,} bytes; shrink it"),
    )
    return next((fault for found, fault in faults if found), None)


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    """Whatever a damaged container raises becomes one clear line."""
    try:
        yield
    except _BROKEN as error:
        what = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{path}: cannot be read to its end ({what}); fetch or pack it again"
        ) from error


def _container(path: Path) -> Callable[[Path], Iterator[_Raw]]:
    if path.is_dir():
        return _folder
    suffix = _suffix(path)
    if not suffix:
        raise DataError(
            f"{path}: is neither a folder nor an archive ({', '.join(ARCHIVE_SUFFIXES)}); "
            "give --data one of these"
        )
    return _zip if suffix == ".zip" else _tar


def _suffix(path: Path) -> str:
    return next((s for s in ARCHIVE_SUFFIXES if path.name.lower().endswith(s)), "")


def _folder(path: Path) -> Iterator[_Raw]:
    for top in [path, *sorted(child for child in path.iterdir() if child.is_dir())]:
        for split in SPLITS:
            if (top / split).is_dir():
                yield from _walk(top / split, (top / split).relative_to(path).as_posix())


def _walk(folder: Path, name: str) -> Iterator[_Raw]:
    """What is in a folder of that name. Not with `Path`, which takes half a second for 10,000 files."""
    with os.scandir(folder) as found:
        children = sorted(found, key=lambda child: child.name)
    for child in children:
        inner = f"{name}/{child.name}"
        is_folder, is_file = child.is_dir(), child.is_file()
        state = state_of(os.stat(child.path)) if is_file else None
        size = state.size if state is not None else 0
        read = partial(_content, child.path)
        yield _Raw(inner, size, is_folder, is_file, read, child.path, state)
        # A link to a folder is followed to a class, never deeper: no loops.
        if is_folder and not (child.is_symlink() and folder.name not in SPLITS):
            yield from _walk(Path(child.path), inner)


def _content(file: str) -> bytes:
    return Path(file).read_bytes()


def _zip(path: Path) -> Iterator[_Raw]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            is_file = not info.is_dir() and stat.S_IFMT(mode) in (0, stat.S_IFREG)
            yield _Raw(
                info.filename,
                info.file_size,
                info.is_dir(),
                is_file,
                lambda info=info: archive.read(info),  # type: ignore[misc]
            )


def _tar(path: Path) -> Iterator[_Raw]:
    with ExitStack() as stack:
        stream = stack.enter_context(_decompressed(path))
        # Not decompressed by tarfile, whose streams end silently where a file is cut short.
        archive = stack.enter_context(tarfile.open(fileobj=stream, mode="r:"))
        for info in iter(archive.next, None):
            archive.members.clear()  # type: ignore[attr-defined]  # else all headers stay in memory
            yield _Raw(
                info.name,
                info.size,
                info.isdir(),
                info.isreg() and not info.issparse(),
                lambda info=info: _contents(stream, info),  # type: ignore[misc]
            )
        _check_end(stream, archive.offset)


def _contents(stream: IO[bytes], info: tarfile.TarInfo) -> bytes:
    stream.seek(info.offset_data)
    data = stream.read(info.size)
    if len(data) != info.size:
        raise EOFError(f"{info.name!r} ends after {len(data):,} of {info.size:,} bytes")
    return data


def _decompressed(path: Path) -> IO[bytes]:
    suffix = _suffix(path)
    if suffix == ".tar":
        return path.open("rb")
    return cast(IO[bytes], lzma.open(path) if suffix == ".tar.xz" else gzip.open(path))


def _check_end(stream: IO[bytes], offset: int) -> None:
    """Raise unless a tar ends as it should, in a block of zeros that its compression confirms."""
    stream.seek(offset)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise EOFError("the end mark is missing")
    while stream.read(2**20):
        continue
