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
import inspect
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from ablate.identity.statements import read_statements
from ablate.system.imports import is_allowed
from ablate.system.modules import GROUND, imported_source, is_installed, room_of


@dataclass
class Sources:
    """`files`: module → hash of its file. `libraries`: distribution → version. `globals`: what functions
    of the user's change outside of themselves, by module and name. `environment`: the variables that they
    read and that are set. `as_imported` asks for the source that this process runs, where that is known,
    and not for the files as they are by now."""

    files: dict[str, str] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)
    globals: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    as_imported: bool = False

    @classmethod
    def reached_from(cls, starts: Iterable[str], *, as_imported: bool = False) -> Sources:
        """All that the modules of these names reach."""
        found, todo, seen = cls(as_imported=as_imported), sorted(set(starts)), set[str]()
        while todo:
            name = todo.pop()
            if name in seen or room_of(name) in GROUND:
                continue
            seen.add(name)
            if is_users_file(name):
                todo.extend(found._add_own(name))
            else:
                found.libraries.update(_library(room_of(name)))
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
        if name in sys.modules:
            yield from _in_values(vars(sys.modules[name]))
        if file.suffix == ".py" and not is_installed(file):
            self.globals.update(_globals(content, name))
            self.environment.update(_environment(content))
            yield from _in_statements(content, name, is_package=file.stem == "__init__")


def hash_source(content: bytes) -> str:
    """The same on every system: ends of lines are not looked at."""
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


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


def _in_values(values: Mapping[str, Any]) -> Iterator[str]:
    """The modules of what a module holds: other modules, classes, functions, and tables of these.

    Not of the built-in functions, which Python lays into each module: notebooks and Ray replace some.
    """
    for name, value in list(values.items()):
        if name == "__builtins__":
            continue
        parts: Iterable[Any] = (value,)
        if isinstance(value, dict):
            parts = list(value.values())
        elif isinstance(value, (list, tuple, set, frozenset)):
            parts = list(value)
        for part in parts:
            if isinstance(part, ModuleType):
                yield part.__name__
            elif inspect.isroutine(part) or isinstance(part, type):
                yield str(getattr(part, "__module__", None) or "builtins")


def _globals(content: bytes, name: str) -> Iterator[tuple[str, Any]]:
    held = vars(sys.modules[name]) if name in sys.modules else {}
    for variable, attribute in read_statements(content).changed:
        value = held.get(variable)
        if not isinstance(value, ModuleType):
            if variable in held:
                yield f"{name}.{variable}", value
        elif attribute is not None and room_of(value.__name__) not in GROUND:
            yield f"{value.__name__}.{attribute}", getattr(value, attribute, None)


def _environment(content: bytes) -> Iterator[tuple[str, str]]:
    """The variables that a file reads, but for those that say how a machine is or where something lies."""
    for variable in read_statements(content).variables:
        if variable in os.environ and not _OF_MACHINES.search(variable):
            yield variable, os.environ[variable]


_OF_MACHINES = re.compile(
    r"""^( HOME | PWD | USER | LOGNAME | HOSTNAME | SHELL | TERM | LANG | DISPLAY | TMP | TEMP
      | (.*_)? ( PATH | DIR | FOLDER | ROOT | HOME | CACHE | FILE | TMPDIR | TOKEN | API_KEY
               | DEVICE | DEVICES | RANK | WORLD_SIZE | ADDR | PORT | THREADS | WORKERS )
      | (CUDA|CUDNN|CUBLAS|NCCL|OMP|MKL|SLURM|KMP|TORCH|PYTORCH|HF|WANDB|ABLATE|PYTEST|LC|XDG)_.* )$""",
    re.VERBOSE,
)


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
