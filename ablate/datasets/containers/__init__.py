"""What holds images: a folder, or a file of many members. To add a kind of file: a module beside this one,
and a line in `CONTAINERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ablate.datasets.containers import npz, parquet, tar, zipped
from ablate.datasets.containers.folder import folder_members
from ablate.datasets.containers.member import RawMember
from ablate.errors import DataError
from ablate.pixels.signatures import HEAD_BYTES, NO_IMAGE, described, image_kind

Reader = Callable[[Path], Iterator[RawMember]]

CONTAINERS: dict[str, Reader] = {
    ".tar.gz": tar.gzipped,
    ".tgz": tar.gzipped,
    ".tar.xz": tar.xzipped,
    ".tar.bz2": tar.bzipped,
    ".tar.zst": tar.zstandard,
    ".tar": tar.plain,
    ".zip": zipped.members,
    ".npz": npz.members,
    ".parquet": parquet.members,
}
"""Suffix → what reads such a file, in the order of its members."""
_SUFFIXES = tuple(CONTAINERS)

_BY_CONTENT: tuple[tuple[int, bytes, Reader], ...] = (
    (0, b"\x1f\x8b", tar.gzipped),
    (0, b"\xfd7zXZ\0", tar.xzipped),
    (0, b"BZh", tar.bzipped),
    (0, b"\x28\xb5\x2f\xfd", tar.zstandard),
    (0, b"PK\x03\x04", zipped.members),
    (0, b"PAR1", parquet.members),
    (257, b"ustar", tar.plain),
)
"""Where a file has which bytes. Source: the formats' specifications."""

_UNUSABLE = {b"7z\xbc\xaf\x27\x1c": "a 7z archive", b"Rar!": "a RAR archive", b"\x89HDF": "HDF5"}

__all__ = ["CONTAINERS", "RawMember", "archive_suffix", "members_of", "nested_in"]


def members_of(path: Path) -> Iterator[RawMember]:
    """All members of a folder or a file, hidden ones too. Files in a folder that are named as a part
    (`train.zip`, `test-00000-of-00001.parquet`) are opened in place.

    Raises:
        DataError: neither a folder nor such a file. While it is read also whatever a damaged one raises.
    """
    if not path.is_dir():
        return _reader(path)(path)
    return folder_members(path, archive_suffix, members_of)


def nested_in(path: Path) -> list[Path]:
    """The files in a folder that `members_of` opens in place."""
    from_name = ((member, member.file) for member in folder_members(path, archive_suffix, None))
    return [Path(file) for member, file in from_name if file is not None and member.is_link]


def archive_suffix(name: str) -> str:
    """`.tar.gz` of `pets.tar.gz`; empty if the name is no archive's."""
    lower = name.lower()
    if not lower.endswith(_SUFFIXES):  # asked of every file in a folder
        return ""
    return next(suffix for suffix in CONTAINERS if lower.endswith(suffix))


def _reader(path: Path) -> Reader:
    """By what a file is, and only where that is unknown by its name: a tar may be called .tar.gz."""
    suffix = archive_suffix(path.name)
    with path.open("rb") as file:
        head = file.read(512)
    if npz.begins_so(head) and npz.is_npz(path):  # a zip by its first bytes
        return npz.members
    for start, mark, reader in _BY_CONTENT:
        if head[start : start + len(mark)] == mark:
            return reader
    if suffix and not _is_page(head):
        return CONTAINERS[suffix]
    raise DataError(
        f"{path}: is neither a folder nor an archive ({', '.join(CONTAINERS)}){_but(head)}; "
        "give --data one of these"
    )


def _but(head: bytes) -> str:
    """What it is in their place, if that is known."""
    if image := image_kind(head[:HEAD_BYTES]):
        return f" but one {image} image"
    kind = next((kind for mark, kind in _UNUSABLE.items() if head.startswith(mark)), None)
    kind = kind or described(head[:HEAD_BYTES])
    return f" but {kind}" if kind != NO_IMAGE else ""


def _is_page(head: bytes) -> bool:
    return described(head[:HEAD_BYTES]) == "an HTML page"
