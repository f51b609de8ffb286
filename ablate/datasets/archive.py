"""Read image files from a folder or an archive, in memory and in order; nothing is ever extracted.

Two looks: at the names, which say how the images lie (`layouts`), and at the images that have a place
there. A member that tries to be elsewhere (`..`, absolute, a link) is refused, and so is what is named as
an image and cannot be one. What is an image is decided by its content.
"""

from __future__ import annotations

import lzma
import tarfile
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ablate.datasets.containers import RawMember, archive_suffix, members_of
from ablate.datasets.layouts import HOW, Arrangement, Tree
from ablate.datasets.layouts.base import is_named_as_image
from ablate.datasets.passed import HIDDEN, count_passed, kind_of
from ablate.errors import DataError
from ablate.pixels.signatures import HEAD_BYTES, image_kind
from ablate.result.dataset import IN_NO_CLASS
from ablate.system.files.state import FileState

MAX_MEMBERS = 5_000_000
MAX_FILE_BYTES = 64 * 2**20
MAX_TOTAL_BYTES = 512 * 2**30

HIDDEN_NAMES = (".", "__MACOSX")

_MOVING = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}
"""What turns the direction of the text that follows it."""

_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
)


@dataclass(frozen=True)
class ArchiveMember:
    """An image at its place in the layout (`train/cat/001.jpg`) with what reads its bytes, while it is this
    member's turn. One that is a file of its own is known by its path and by how it was found. `size` in
    bytes.

    Raises:
        DataError: by `read`: it cannot be read.
    """

    name: str
    read: Callable[[], bytes]
    file: str | None = None
    state: FileState | None = None
    size: int = 0


def label_of(path: Path) -> str:
    """The name of a folder or archive without its archive suffix: `cifar10-jpeg`."""
    name = path.resolve().name
    return name if path.is_dir() else name[: len(name) - len(archive_suffix(path.name))]


def tree_of(path: Path) -> Tree:
    """All names in a folder or an archive; no image is read.

    Raises:
        DataError: nothing there, no archive, broken, beyond a cap, or a member that points elsewhere.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; give --data a folder or an archive")
    if not (path.is_file() or path.is_dir()):
        raise DataError(f"{path}: is neither a file nor a folder; give --data one of them")
    files: list[str] = []
    folders: set[str] = set()
    for name, raw in _cleaned(path):
        if name is None:
            continue
        folders.update(_above(name))
        folders.add(name) if raw.is_folder else files.append(name)
    return Tree(str(path), tuple(files), frozenset(folders), partial(_read_one, path))


def read_members(
    path: Path, arrangement: Arrangement, passed: Counter[str] | None = None
) -> Iterator[ArchiveMember]:
    """The images, in the order in which the folder or archive has them. What is none and is not named as one
    is passed over, and counted by its kind in `passed`; so are images that lie in no class.

    Raises:
        DataError: broken, beyond a cap, or a member that is refused.
    """
    passed = Counter() if passed is None else passed
    total = 0
    for name, raw in _cleaned(path):
        if raw.is_folder:
            continue
        place = arrangement.places.get(name) if name is not None else None
        if place is None and name not in arrangement.unplaced:
            if (kind := _kind_passed(path, name, raw, arrangement)) is not None:
                count_passed(passed, kind)
            continue
        with clear_errors(path):
            state = raw.state()
            size = raw.size if state is None else state.size
            if not (arrangement.certain or is_named_as_image(raw.name) or _is_image(raw)):
                count_passed(passed, kind_of(raw.name))
                continue
        total += size
        if total > MAX_TOTAL_BYTES:
            raise DataError(f"{path}: over {MAX_TOTAL_BYTES:,} bytes; split it")
        if refusal := _refusal(raw, size, is_placed=place is not None):
            raise DataError(f"{path}: {raw.name!r} {refusal}")
        yield ArchiveMember(str(place), partial(_read, path, raw), raw.file, state, size)


def _cleaned(path: Path) -> Iterator[tuple[str | None, RawMember]]:
    """Members with their names from the top on, None for hidden ones."""
    with clear_errors(path):
        for count, raw in enumerate(members_of(path), 1):
            if count > MAX_MEMBERS:
                raise DataError(f"{path}: over {MAX_MEMBERS:,} members; split it")
            name = raw.name if raw.file is not None else _clean(path, raw.name)
            hidden = name.startswith(HIDDEN_NAMES) or "/." in name or "/__MACOSX" in name
            yield (None if hidden or not name else name), raw


def _clean(path: Path, name: str) -> str:
    """A name in an archive, which may be any text, as one in a folder."""
    # Not a `PurePosixPath`, which takes ten times as long.
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts:
        raise DataError(f"{path}: refuses the member {name!r}; pack it with relative names")
    return "/".join(parts)


def _above(name: str) -> Iterator[str]:
    """The folders in which something lies: an archive need not name them."""
    at = name.find("/")
    while at >= 0:
        yield name[:at]
        at = name.find("/", at + 1)


def _read_one(path: Path, wanted: str) -> bytes:
    """A file of a source by its name.

    Raises:
        DataError: it is gone, too large or cannot be read.
    """
    for name, raw in _cleaned(path):
        if name == wanted and raw.is_file:
            with clear_errors(path):
                if len(data := raw.read(MAX_FILE_BYTES + 1)) > MAX_FILE_BYTES:
                    raise DataError(
                        f"{path}: {name!r} is larger than {MAX_FILE_BYTES:,} bytes; shrink it"
                    )
                return data
    raise DataError(f"{path}: {wanted!r} is gone; start again")


def _read(path: Path, raw: RawMember) -> bytes:
    with clear_errors(path):
        return raw.read(-1)


def _kind_passed(
    path: Path, name: str | None, raw: RawMember, arrangement: Arrangement
) -> str | None:
    """As what a file that has no place is counted; None of what is no image, or of which the layout has a
    line.
    """
    if name is None:
        return HIDDEN
    with clear_errors(path):
        return IN_NO_CLASS if name in arrangement.loose and _is_image(raw) else None


def _is_image(raw: RawMember) -> bool:
    """By its content: a download may have any suffix, or none."""
    return raw.is_file and image_kind(raw.read(HEAD_BYTES)) is not None


def _refusal(raw: RawMember, size: int, *, is_placed: bool) -> str | None:
    """What is wrong with an image, and what to do; None if nothing is."""
    linked = "is a link or a device; pack the file itself"
    if raw.is_link:
        linked = f"is a hard link to {raw.is_link!r}; pack it with tar --hard-dereference"
    faults = (
        (
            not _is_text(raw.name),
            "is not a name in UTF-8; rename it, or pack it again with UTF-8 names",
        ),
        (not _can_be_shown(raw.name), "is not a printable name; rename it"),
        (not raw.is_file, linked),
        (not is_placed, f"is an image in no class; {HOW}, or name a table with data.labels"),
        (size > MAX_FILE_BYTES, f"is larger than {MAX_FILE_BYTES:,} bytes; shrink it"),
    )
    return next((fault for found, fault in faults if found), None)


def _is_text(name: str) -> bool:
    return name.isprintable() or not any("\ud800" <= c <= "\udfff" for c in name)


def _can_be_shown(name: str) -> bool:
    """Whether a name moves no terminal. All else that a filesystem can hold is in names as people have them:
    the narrow space of macOS's screenshots, the joiners of Persian and of emoji, emoji newer than Python.
    """
    if name.isprintable():
        return True
    return not any(c in _MOVING or unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in name)


@contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """Whatever a damaged container raises becomes one clear line."""
    try:
        yield
    except _BROKEN as error:
        what = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{path}: cannot be read to its end ({what}); fetch or pack it again"
        ) from error
