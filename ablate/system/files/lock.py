"""A lock file: one process at a time, on this machine or on a shared folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ablate.errors import OutputError


@contextmanager
def only_one(path: Path, taken: str, tell: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold a lock file, made with its folder, for as long as the context lasts.

    Where another process holds it, `taken` says so: as the error, or to `tell`, and then it is waited for.

    Raises:
        OutputError: another process holds it, a link is in its place, or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            raise OutputError(f"{path}: is a link, which is not followed there: remove it")
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if tell is None:
                raise OutputError(taken) from None
            tell(taken)
            lock.acquire()
    except OSError as error:
        raise OutputError(f"{path.parent}: cannot be written: {error.strerror or error}") from None
    try:
        yield
    finally:
        lock.release()
