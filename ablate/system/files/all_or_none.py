"""Writing several files so that either all of them are there, or those that were there before."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ablate.system.files.atomic import sync

AT_ONCE = 8
"""So many files are brought to the disk together: each waits for it, and a report has 80."""


def write_all(contents: Mapping[Path, bytes], without: Iterable[Path] = ()) -> None:
    """Write files, the last one behind all others, and remove those of `without`; all of it or nothing.

    Everything is brought to the disk beside its place first. Only then files are moved, one by one, and back
    where one cannot be. Who is killed while they are moved leaves whole files, of which some are old.

    Raises:
        OSError: everything is as it was, and folders that were made for it are gone.
    """
    change = _Change(dict(contents), [path for path in without if path not in contents])
    with ExitStack() as folders:
        for folder in dict.fromkeys(path.parent for path in contents):
            folders.enter_context(made_folder(folder))
        try:
            change.prepare()
            change.move()
        except BaseException:
            change.undo()
            raise
    try:
        change.forget()
    finally:
        change.forget()  # once more, where Ctrl-C came


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Make a folder, with those above it; where what follows fails, those that were made are gone.

    Raises:
        OSError: it cannot be made.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for each in missing:
            with contextlib.suppress(OSError):
                each.rmdir()  # one that has something in it stays
        raise


@dataclass
class _Change:
    """What is to change; which files were there, and of which the move was begun."""

    contents: dict[Path, bytes]
    without: list[Path]
    earlier: set[Path] = field(default_factory=set)
    begun: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        *first, last = self.contents
        self.paths = [*first, *self.without, last]
        name = f".ablate-{secrets.token_hex(4)}"
        self.new = {p: p.with_name(f"{name}-{i}.new") for i, p in enumerate(self.paths)}
        self.old = {p: p.with_name(f"{name}-{i}.old") for i, p in enumerate(self.paths)}

    def prepare(self) -> None:
        """Every new file beside its place, on the disk."""
        self.earlier = {path for path in self.paths if _is_file(path)}
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(self._write, self.contents))

    def _write(self, path: Path) -> None:
        with self.new[path].open("xb") as file:
            file.write(self.contents[path])
            file.flush()
            os.fsync(file.fileno())

    def move(self) -> None:
        """Every file to its place; what was there keeps another name."""
        for path in self.paths:
            self.begun.append(path)
            if path in self.earlier:
                _keep(path, self.old[path])
            if path in self.contents:
                os.replace(self.new[path], path)
            else:
                path.unlink(missing_ok=True)
        for folder in dict.fromkeys(path.parent for path in self.paths):
            if folder.is_dir():
                sync(folder)  # without it a power cut can undo a rename that was reported done

    def undo(self) -> None:
        """Everything as it was. What cannot be put back keeps its other name."""
        for path in reversed(self.begun):
            with contextlib.suppress(OSError):
                if path not in self.earlier:
                    path.unlink(missing_ok=True)
                elif os.path.lexists(self.old[path]):
                    _put_back(self.old[path], path)
        _remove(self.new.values())

    def forget(self) -> None:
        """Nothing beside the files."""
        _remove(self.old.values())


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()


def _is_file(path: Path) -> bool:
    """Whether a file, or a link, stands there.

    Raises:
        OSError: a folder does.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, f"{path.name} is a folder")
    return True


def _keep(path: Path, beside: Path) -> None:
    """Give a file a second name, or that one alone where files have one name only."""
    try:
        os.link(path, beside, follow_symlinks=False)
    except (OSError, NotImplementedError):
        os.replace(path, beside)


def _put_back(beside: Path, path: Path) -> None:
    """The reverse. Of two names of one file neither would be moved."""
    if os.path.lexists(path) and os.path.samestat(beside.lstat(), path.lstat()):
        beside.unlink()
    else:
        os.replace(beside, path)
