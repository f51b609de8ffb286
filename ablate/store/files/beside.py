"""The checkpoints and weights of a database: in folders beside it, or where `--files` says, which may be a
folder that several machines see or an object store. A file is there whole or not at all; whether it is the
one that a row names is known by its hash.
"""

from __future__ import annotations

import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from ablate.errors import DatabaseError, OptionError
from ablate.store.connection.address import files_folder, is_sqlite, parse_url
from ablate.store.files.remote import open_remote
from ablate.store.files.stored import MOST_BYTES, read_beside, store_file
from ablate.system.files.inside import checked, inside
from ablate.system.messages.command_line import without_password
from ablate.system.messages.text import one_line

VARIABLE = "ABLATE_FILES"
"""The variable of the environment that every command looks at; `--files` sets it."""
Kind = Literal["weights", "checkpoints"]
KINDS: tuple[Kind, ...] = ("weights", "checkpoints")


class Files(ABC):
    """Files of one kind. Names are checked: they come from a database that somebody else may have made."""

    @abstractmethod
    def place(self, name: str) -> str:
        """Where a file lies, for people.

        Raises:
            DatabaseError: no name that ablate gives, or a link.
        """

    @abstractmethod
    def read(self, name: str) -> bytes:
        """A file's content.

        Raises:
            OSError: it cannot be read, or is larger than any of ours.
        """

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Write a file.

        Raises:
            DatabaseError: it cannot be written; an earlier file is as it was.
        """

    @abstractmethod
    def delete(self, name: str) -> int | None:
        """Delete a file; returns how many bytes it had, None if there is none.

        Raises:
            OSError: it cannot be deleted.
        """

    @abstractmethod
    def names(self, prefix: str) -> list[str]:
        """The names of the files that begin so."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether a file is there."""

    def remove(self, names: Iterable[str]) -> None:
        """Delete files that no row names any more."""
        for name in names:
            self.delete(name)


class FolderFiles(Files):
    """Files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def place(self, name: str) -> str:
        return str(inside(self._folder, name))

    def read(self, name: str) -> bytes:
        return read_beside(inside(self._folder, name))

    def write(self, name: str, content: bytes) -> None:
        store_file(inside(self._folder, name), content)

    def delete(self, name: str) -> int | None:
        path = inside(self._folder, name)
        try:
            size = path.lstat().st_size
            path.unlink()
        except FileNotFoundError:
            return None
        return size

    def names(self, prefix: str) -> list[str]:
        return [path.name for path in self._folder.glob(f"{prefix}*.safetensors")]

    def has(self, name: str) -> bool:
        return inside(self._folder, name).is_file()


class RemoteFiles(Files):
    """Files of a file system that fsspec knows."""

    def __init__(self, system: Any, folder: str, shown: str) -> None:
        self._system, self._folder, self._shown = system, folder.rstrip("/"), shown.rstrip("/")

    def place(self, name: str) -> str:
        return f"{self._shown}/{checked(name, self._shown)}"

    def read(self, name: str) -> bytes:
        path = self._path(name)
        try:
            if self._system.size(path) > MOST_BYTES:
                raise OSError(f"larger than {MOST_BYTES // 2**30} GiB")
            return bytes(self._system.cat_file(path))
        except OSError:
            raise
        except Exception as error:  # each of these packages has its own kinds
            raise OSError(_said(error)) from None

    def write(self, name: str, content: bytes) -> None:
        """An upload has its name only when it is whole: under another one before that, where the store does
        not do so by itself.
        """
        path = self._path(name)
        coming = f"{self._folder}/.{secrets.token_hex(8)}-{name}"
        try:
            self._system.makedirs(self._folder, exist_ok=True)
            if self._system.async_impl:  # object stores: one request, all or nothing
                self._system.pipe_file(path, content)
                return
            self._system.pipe_file(coming, content)
            self._system.mv(coming, path)
        except Exception as error:
            raise DatabaseError(
                f"{self.place(name)}: cannot be written: {_said(error)}. "
                "What was stored before stays: mend that and run again to go on"
            ) from None

    def delete(self, name: str) -> int | None:
        path = self._path(name)
        try:
            size = int(self._system.size(path))
            self._system.rm_file(path)
        except FileNotFoundError:
            return None
        except OSError:
            raise
        except Exception as error:
            raise OSError(_said(error)) from None
        return size

    def names(self, prefix: str) -> list[str]:
        try:
            self._system.invalidate_cache(self._folder)
            found = self._system.glob(f"{self._folder}/{prefix}*.safetensors")
        except FileNotFoundError:
            return []
        return [str(path).rpartition("/")[2] for path in found]

    def has(self, name: str) -> bool:
        self._system.invalidate_cache(self._folder)
        return bool(self._system.exists(self._path(name)))

    def _path(self, name: str) -> str:
        return f"{self._folder}/{checked(name, self._shown)}"


def files_of(url: str, kind: Kind) -> Files:
    """The files of that kind of a database.

    Raises:
        OptionError: `--files` names what cannot be used.
    """
    chosen = os.environ.get(VARIABLE)
    if not chosen:
        return FolderFiles(inside(files_folder(url), kind))
    if (folder := _local(chosen)) is not None:
        return FolderFiles(folder / _database_name(url) / kind)
    system, root = open_remote(chosen)
    below = f"{_database_name(url)}/{kind}"
    return RemoteFiles(system, f"{root.rstrip('/')}/{below}", f"{chosen.rstrip('/')}/{below}")


def check_files(url: str) -> None:
    """Write a small file where the files of a database shall lie, and read it again.

    Raises:
        OptionError: what `--files` names cannot be used.
    """
    if not os.environ.get(VARIABLE):
        return
    for kind in KINDS:
        files, name, content = (
            files_of(url, kind),
            f"probe-{secrets.token_hex(8)}",
            secrets.token_bytes(8),
        )
        try:
            files.write(name, content)
            same = files.read(name) == content
            files.delete(name)
        except (DatabaseError, OSError) as error:
            raise OptionError(f"--files {os.environ[VARIABLE]}: {one_line(error)}") from None
        if not same:
            raise OptionError(
                f"--files {os.environ[VARIABLE]}: what was written there reads otherwise"
            )


def _local(chosen: str) -> Path | None:
    """The folder that is meant, None for the address of something else."""
    scheme, found, rest = chosen.partition("://")
    if not found:
        return Path(chosen)
    return Path(rest) if scheme == "file" else None


def _database_name(url: str) -> str:
    """A folder of its own for each database: what no row of it names there is deleted."""
    if is_sqlite(parse_url(url)):
        return Path(str(parse_url(url).database)).stem
    return files_folder(url).name


def _said(error: Exception) -> str:
    return without_password(one_line(error))
