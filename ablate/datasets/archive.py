"""Read image files from a folder or an archive, in memory and in order; nothing is ever extracted.

What counts is `train/<class>/<image>` and `test/<class>/<image>`, at the top or in one folder that
holds everything. A member that tries to be elsewhere (`..`, absolute, a link) is refused, and so is what
is an image by its content and would be passed over for its name.
"""

from __future__ import annotations

import lzma
import os
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

from ablate.datasets.container import SPLITS, RawMember, archive_suffix, members_of
from ablate.datasets.passed import count_passed
from ablate.datasets.signatures import HEAD_BYTES, READABLE, image_kind
from ablate.errors import DataError
from ablate.system.file_state import FileState

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
OTHER_IMAGE_SUFFIXES = (".bmp", ".gif", ".tif", ".tiff", ".webp", ".jfif", ".ppm", ".heic")
"""Of other images; those of any name are told by their content."""

MAX_MEMBERS = 5_000_000
MAX_FILE_BYTES = 64 * 2**20
MAX_TOTAL_BYTES = 512 * 2**30

_JOINERS = "\u200c\u200d"

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


def label_of(path: Path) -> str:
    """The name of a folder or archive without its archive suffix: `cifar10-jpeg`."""
    name = path.resolve().name
    return name if path.is_dir() else name[: len(name) - len(archive_suffix(path))]


def read_members(path: Path, passed: Counter[str] | None = None) -> Iterator[ArchiveMember]:
    """The class folders and images, in the order in which the folder or archive has them. What is passed over
    is counted in `passed`.

    Raises:
        DataError: nothing there, no archive, broken, beyond a cap, or a member that is refused.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; give --data a folder or an archive")
    if not (path.is_file() or path.is_dir()):
        raise DataError(f"{path}: is neither a file nor a folder; give --data one of them")
    with _clear_errors(path):
        members, total, tops = 0, 0, set()
        for raw in members_of(path):
            members, total = members + 1, total + raw.size
            if members > MAX_MEMBERS or total > MAX_TOTAL_BYTES:
                raise DataError(
                    f"{path}: over {MAX_MEMBERS:,} members or {MAX_TOTAL_BYTES:,} bytes; split it"
                )
            placed = _placed(path, raw)
            if placed is None:
                if passed is not None and not raw.is_folder:
                    count_passed(passed, raw.name)
                continue
            top, name = placed
            tops.add(top)
            if len(tops) > 1:
                raise DataError(
                    f"{path}: train and test must lie side by side, not in {sorted(tops)}; keep one"
                )
            read = None if raw.is_folder else partial(_read, path, raw)
            yield ArchiveMember(name, read, raw.file, raw.state)


def _read(path: Path, raw: RawMember) -> bytes:
    with _clear_errors(path):
        return raw.read(-1)


def _placed(path: Path, raw: RawMember) -> tuple[str, str] | None:
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
    if not (len(inner) == 2 if raw.is_folder else _is_image(raw, suffix)):
        return None
    if refusal := _refusal(raw, len(inner), suffix):
        raise DataError(f"{path}: {raw.name!r} {refusal}")
    return "/".join(parts[:depth]), "/".join(inner)


def _is_image(raw: RawMember, suffix: str) -> bool:
    """By its suffix, or by its content: a download may have any suffix, or none."""
    if suffix in IMAGE_SUFFIXES + OTHER_IMAGE_SUFFIXES:
        return True
    return raw.is_file and image_kind(raw.read(HEAD_BYTES)) is not None


def _refusal(raw: RawMember, depth: int, suffix: str) -> str | None:
    """What is wrong with a class folder or an image, and what to do; None if nothing is."""
    image = not raw.is_folder
    if image and raw.is_file and suffix not in IMAGE_SUFFIXES:
        return _of_another_name(raw)
    faults = (
        (not _can_be_shown(raw.name), "is not a printable name; rename it"),
        (image and not raw.is_file, "is a link or a device; pack the file itself"),
        (image and depth != 3, f"is at the wrong depth; {LAYOUT}"),
        (raw.size > MAX_FILE_BYTES, f"is larger than {MAX_FILE_BYTES:,} bytes; shrink it"),
    )
    return next((fault for found, fault in faults if found), None)


def _of_another_name(raw: RawMember) -> str:
    """What to do with an image that has not the suffix of JPEG or PNG: it is never left out unnoticed."""
    kind = image_kind(raw.read(HEAD_BYTES))
    if kind in READABLE:
        return f"is {kind} without one of the suffixes {', '.join(IMAGE_SUFFIXES)}; rename it"
    return f"is {kind or 'no image'}, neither JPEG nor PNG; convert it"


def _can_be_shown(name: str) -> bool:
    """Whether a name moves no terminal. Wide and narrow spaces, and the joiners of Persian and of emoji,
    are in names as people have them: macOS writes U+202F into those of screenshots.
    """
    return all(c.isprintable() or c in _JOINERS or unicodedata.category(c) == "Zs" for c in name)


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
