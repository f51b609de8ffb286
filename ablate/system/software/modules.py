"""The source that a process runs: a user's modules are read when they are imported, and remembered.

A file may be edited after a process imported it, and Python itself may run compiled code of a file that was
edited within one second at the same size. Here the bytes that are compiled are the bytes that are kept.
"""

from __future__ import annotations

import random
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

_FOLDERS = tuple(sysconfig.get_path(key) for key in ("purelib", "platlib"))
GROUND = frozenset(sys.stdlib_module_names) | {"ablate", "torch", "numpy", "builtins"}
"""Packages that are never a user's."""


def remember_sources() -> None:
    """From now on this process keeps what it imports of a user's files."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def imported_source(name: str) -> bytes | None:
    """The source of a module as it was imported; None if it is not imported, or nobody kept it."""
    loader = getattr(getattr(sys.modules.get(name), "__spec__", None), "loader", None)
    return loader.content if isinstance(loader, _SourceLoader) else None


class _SourceLoader(SourceFileLoader):
    """Compiles the file as it stands, whatever was compiled before."""

    content: bytes | None = None

    def get_code(self, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        self.content = self.get_data(path)
        code: CodeType = self.source_to_code(self.content, path)
        return code

    def exec_module(self, module: ModuleType) -> None:
        """Run the file under generators of its own: what it draws is the same in each process, and it takes
        nothing from the network that imports it first."""
        with generators_of_its_own():
            super().exec_module(module)


@contextmanager
def generators_of_its_own() -> Iterator[None]:
    """While entered, the generators of the process begin anew; afterwards they go on as they would have."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    before = random.getstate(), numpy and numpy.random.get_state(), torch and torch.get_rng_state()
    random.seed(0)
    if numpy:
        numpy.random.seed(0)
    if torch:
        torch.default_generator.manual_seed(0)
    try:
        yield
    finally:
        random.setstate(before[0])
        if numpy:
            numpy.random.set_state(before[1])
        if torch:
            torch.set_rng_state(before[2])


class _Finder(MetaPathFinder):
    """Finds what the other finders find, each module once, with a loader that keeps a user's source."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        for finder in sys.meta_path:
            find = None if isinstance(finder, _Finder) else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(fullname, path, target) if find else None
            if spec is not None:
                return _kept(spec)
        return None


def _kept(spec: ModuleSpec) -> ModuleSpec:
    loader = spec.loader
    users = room_of(spec.name) not in GROUND
    if users and type(loader) is SourceFileLoader and not is_installed(Path(loader.path)):
        spec.loader = _SourceLoader(loader.name, loader.path)
    return spec


@lru_cache(maxsize=4096)
def is_installed(file: Path) -> bool:
    """Whether a file lies where packages are installed."""
    names = {"site-packages", "dist-packages"}
    return bool(names & set(file.parts)) or any(map(file.is_relative_to, _FOLDERS))


def room_of(name: str | None) -> str:
    """The package at the top that a module belongs to."""
    return (name or "").partition(".")[0]
