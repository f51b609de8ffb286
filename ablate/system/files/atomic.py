"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file: a temporary one beside it, on the disk, then one rename.

    Raises:
        OSError: nothing was left behind, and an earlier file is as it was.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """An empty file to fill; afterwards it is brought to the disk and gets its name by one rename.

    Raises:
        OSError: nothing was left behind, and an earlier file is as it was.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        os.close(handle)
        yield temporary
        sync(temporary)
        follow_umask(temporary)
        os.replace(temporary, path)
        # Without it a power cut can undo a rename that was reported done.
        sync(path.parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def follow_umask(path: Path) -> None:
    """Give a temporary file or folder, its maker's alone so far, the permissions that any other gets."""
    os.chmod(path, (0o777 if path.is_dir() else 0o666) & ~_umask())


def _umask() -> int:
    """Which permissions new files do not get."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.partition("\nUmask:")[2].split()[0], 8)
    except (OSError, ValueError, IndexError):
        # Where it can only be read by setting it.
        found = os.umask(0o077)
        os.umask(found)
        return found


def sync(path: Path) -> None:
    """Bring a file's content, or a folder's names, to the disk."""
    if path.is_dir() and os.name != "posix":
        return
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
