"""The source of a user's network: every file of theirs that it reaches, and the libraries it uses.

From the modules of its classes and functions the walk follows what they import, by statement or by
value, but stays within the user's own files: those outside of site-packages, and the packages that
`--allow-import` names. Any other library is named with its version. Python, torch and NumPy are not
followed: as for networks of ours, they stand in the environment of each result.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ablate.identity.module_values import (
    changed_globals,
    codes_in,
    modules_in,
    values_read,
    variables_read,
)
from ablate.identity.statements import Statements, read_statements
from ablate.system.software.imports import is_allowed
from ablate.system.software.modules import GROUND, imported_source, is_installed, room_of


@dataclass
class Sources:
    """`files`: module → hash of its file. `libraries`: distribution → version. `globals`: what functions
    of the user's change outside of themselves, by module and name. `read`: what modules of theirs hold that
    read a file when they are imported. `environment`: the variables that they read and that are set.
    `as_imported` asks for the source that this process runs, where that is known, and not for the files as
    they are by now."""

    files: dict[str, str] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)
    globals: dict[str, Any] = field(default_factory=dict)
    read: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    as_imported: bool = False
    _statements: dict[str, Statements] = field(default_factory=dict)
    _paths: set[Path] = field(default_factory=set)
    _codes: set[str] = field(default_factory=set)

    @classmethod
    def reached_from(
        cls, starts: Iterable[str], codes: Iterable[str] = (), *, as_imported: bool = False
    ) -> Sources:
        """All that the modules of these names reach; `codes` are the files of functions that were met."""
        found, todo, seen = cls(as_imported=as_imported), sorted(set(starts)), set[str]()
        found._codes.update(codes)
        while todo:
            name = todo.pop()
            if name in seen or room_of(name) in GROUND:
                continue
            seen.add(name)
            if is_users_file(name):
                todo.extend(found._add_own(name))
            else:
                found.libraries.update(_library(room_of(name)))
        found._look_into_modules()
        return found

    def _add_own(self, name: str) -> Iterator[str]:
        """Take in a file of the user's, and give the names of what it reaches."""
        parent = name.rpartition(".")[0]
        if parent:
            yield parent  # it was imported first
        file = find_file(name)
        if file is None:
            return
        kept = imported_source(name) if self.as_imported else None
        content = file.read_bytes() if kept is None else kept
        self.files[name] = hash_source(content)
        self._paths.add(file.resolve())
        if name in sys.modules:
            yield from modules_in(vars(sys.modules[name]))
            self._codes.update(codes_in(vars(sys.modules[name])))
        if file.suffix == ".py" and not is_installed(file):
            self._statements[name] = read_statements(content)
            yield from _in_statements(content, name, is_package=file.stem == "__init__")

    def _look_into_modules(self) -> None:
        """What the user's modules hold by now, once all of them are known."""
        self.globals = changed_globals(self._statements, is_users_file)
        self.read = values_read(self._statements, self.globals)
        self.environment = variables_read(self._statements.values())
        for code in sorted(self._codes):
            # Run from a file that is no module: by `exec`, `runpy`, or a loader of the user's.
            file = Path(code).resolve()
            if file not in self._paths and is_users_code(file):
                self.files[f"{_NO_MODULE}{file.name}"] = hash_source(file.read_bytes())


_OURS, _PYTHONS = Path(__file__).resolve().parents[1], Path(os.__file__).resolve().parent
_NO_MODULE = "file "
"""How the entry begins of a file that no module is imported from."""


def is_users_code(file: Path) -> bool:
    others = is_installed(file) or any(map(file.is_relative_to, (_OURS, _PYTHONS)))
    return file.is_file() and not others


def hash_source(content: bytes) -> str:
    """The same on every system: ends of lines are not looked at."""
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def ran_other(name: str, known: str) -> bool:
    """Whether this process has imported a module of other source than that of this hash."""
    if name not in sys.modules:
        return False  # it has not run
    content = imported_source(name)
    if content is None:
        file = find_file(name)
        content = file.read_bytes() if file is not None else b""
    return hash_source(content) != known


def is_users_file(name: str) -> bool:
    """Whether a module is the user's: its file counts, and not the version of a library."""
    if room_of(name) in GROUND:
        return False
    file = find_file(name) or find_file(room_of(name))
    return is_allowed(name) or file is None or not is_installed(file)


def find_file(name: str) -> Path | None:
    """The file of a module, imported or not; None for one that has none, or that does not exist."""
    module = sys.modules.get(name)
    if module is not None:
        file = getattr(module, "__file__", None)
        return Path(file) if file and Path(file).is_file() else None
    parent, _, last = name.rpartition(".")
    if not parent:
        return _spec_file(name)
    above = find_file(parent)
    if above is None or above.stem != "__init__":
        return None
    choices = (above.parent / last / "__init__.py", above.parent / f"{last}.py")
    return next((path for path in choices if path.is_file()), None)


def folder_of(name: str) -> str:
    """The folder from which a module's package is imported, or nothing."""
    file = find_file(room_of(name))
    if file is None:
        return ""
    return str((file.parent.parent if file.stem == "__init__" else file.parent).resolve())


def _spec_file(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and Path(spec.origin).is_file() else None


def _in_statements(content: bytes, name: str, *, is_package: bool) -> Iterator[str]:
    """The modules that a file imports anywhere, also inside of a function."""
    package = name if is_package else name.rpartition(".")[0]
    for level, module, names in read_statements(content).imports:
        above = package.split(".")[: len(package.split(".")) - level + 1]
        base = ".".join([*(above if level else []), *filter(None, [module])])
        yield base
        yield from (f"{base}.{each}" for each in names if find_file(f"{base}.{each}"))


@lru_cache(maxsize=256)
def _library(room: str) -> dict[str, str]:
    try:
        return {room: importlib.metadata.version(room)}
    except importlib.metadata.PackageNotFoundError:
        names = importlib.metadata.packages_distributions().get(room, [])
    return {name: importlib.metadata.version(name) for name in names}
