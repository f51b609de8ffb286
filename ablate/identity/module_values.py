"""What modules of a user's hold while a network of theirs is described, where their files do not say it."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from sys import modules as imported
from types import FunctionType, ModuleType
from typing import Any

from ablate.identity.statements import ANY, Statements, is_reading
from ablate.system.software.modules import GROUND, room_of

_PATCHED = {"torch", "numpy"}


def modules_in(values: Mapping[str, Any]) -> Iterator[str]:
    """The modules of what a module holds: other modules, classes, functions, and tables of these.

    Not of the built-in functions, which Python lays into each module: notebooks and Ray replace some.
    """
    for part in _parts(values):
        if isinstance(part, ModuleType):
            yield part.__name__
        elif inspect.isroutine(part) or isinstance(part, type):
            yield str(getattr(part, "__module__", None) or "builtins")


def codes_in(values: Mapping[str, Any]) -> Iterator[str]:
    """The files that functions of what a module holds were compiled from."""
    for part in _parts(values):
        if isinstance(part, FunctionType) and room_of(part.__module__) not in GROUND:
            yield part.__code__.co_filename


def _parts(values: Mapping[str, Any]) -> Iterator[Any]:
    for name, value in list(values.items()):
        if name == "__builtins__":
            continue
        if isinstance(value, dict):
            yield from list(value.values())
        elif isinstance(value, (list, tuple, set, frozenset)):
            yield from list(value)
        else:
            yield value


def changed_globals(
    files: Mapping[str, Statements], is_users: Callable[[str], bool]
) -> dict[str, Any]:
    """What functions of these modules change, and what is another than is written, by module and name."""
    found: dict[str, Any] = {}
    for module, said in files.items():
        held = vars(imported[module]) if module in imported else {}
        for variable, path in said.changed:
            if variable == ANY:
                found |= {f"{module}.{name}": value for name, value in _data(held)}
            elif variable in held:
                found.update(_changed(module, variable, held[variable], path))
        for name, value in said.literals.items():
            if name in held and _differ(held[name], value):
                found[f"{module}.{name}"] = held[name]
        for variable, path in said.patched:
            found.update(_patched(held.get(variable), path, is_users))
    return found


def _changed(
    module: str, variable: str, value: Any, path: tuple[str, ...]
) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, ModuleType):
        yield f"{module}.{variable}", value
        return
    while path and isinstance(getattr(value, path[0], None), ModuleType):
        value, path = getattr(value, path[0]), path[1:]
    if path and room_of(value.__name__) not in GROUND:
        yield f"{value.__name__}.{path[0]}", getattr(value, path[0], None)


def _patched(
    owner: Any, path: tuple[str, ...], is_users: Callable[[str], bool]
) -> Iterator[tuple[str, Any]]:
    """What is put into a class or module of somebody else's: `nn.Conv2d.forward = …`, `F.relu = …`."""
    for part in path[:-1]:
        owner = getattr(owner, part, None)
    name = path[-1]
    if isinstance(owner, type) and not is_users(owner.__module__) and name in vars(owner):
        yield f"{owner.__module__}.{owner.__qualname__}.{name}", vars(owner)[name]
    elif isinstance(owner, ModuleType) and room_of(owner.__name__) in _PATCHED:
        value = vars(owner).get(name)
        if callable(value):
            yield f"{owner.__name__}.{name}", value


def _data(held: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What is neither code nor Python's own."""
    for name, value in list(held.items()):
        if not (name.startswith("__") or isinstance(value, (ModuleType, type, FunctionType))):
            yield name, value


def _differ(value: Any, written: Any) -> bool:
    return type(value) is not type(written) or value != written


def values_read(files: Mapping[str, Statements], changed: Mapping[str, Any]) -> dict[str, Any]:
    """What is held by modules that read a file when they are imported, but for what changes while running:
    nothing in their source says it."""
    reading = _readers(files.values())
    found: dict[str, Any] = {}
    for module, said in files.items():
        if module in imported and (said.reads or said.calls & reading):
            held = vars(imported[module])
            own = [(k, v) for k, v in held.items() if isinstance(v, FunctionType)]
            found |= {f"{module}.{name}": value for name, value in [*_data(held), *own]}
    return {name: value for name, value in found.items() if name not in changed}


def _readers(files: Iterable[Statements]) -> frozenset[str]:
    """The functions and classes that read a file, or call one that does."""
    callers: dict[str, set[str]] = {}
    for said in files:
        for name, called in said.callers.items():
            callers.setdefault(name, set()).update(called)
    found = {name for name, called in callers.items() if any(map(is_reading, called))}
    while more := {name for name, called in callers.items() if called & found} - found:
        found |= more
    return frozenset(found)


def variables_read(files: Iterable[Statements]) -> dict[str, str]:
    """The variables of the environment that these read, but for those that say how a machine is or where
    something lies. Where one of them asks for any, each name that they write out may be one."""
    several = list(files)
    names = {variable for said in several for variable in said.variables}
    if any(said.asks_environment for said in several):
        names |= {word for said in several for word in said.words}
    set_ones = sorted(name for name in names if name in os.environ)
    return {name: os.environ[name] for name in set_ones if not _OF_MACHINES.search(name)}


_OF_MACHINES = re.compile(
    r"""^( HOME | PWD | USER | LOGNAME | HOSTNAME | SHELL | TERM | LANG | DISPLAY | TMP | TEMP
      | (.*_)? ( PATH | DIR | FOLDER | ROOT | HOME | CACHE | FILE | TMPDIR | TOKEN | API_KEY
               | DEVICE | DEVICES | RANK | WORLD_SIZE | ADDR | PORT | THREADS | WORKERS )
      | (CUDA|CUDNN|CUBLAS|NCCL|OMP|MKL|SLURM|KMP|TORCH|PYTORCH|HF|WANDB|ABLATE|PYTEST|LC|XDG)_.* )$""",
    re.VERBOSE,
)
