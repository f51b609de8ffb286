"""Whether a user's network can depend on anything but what is hashed: only then is it remembered on paper.

Its source, its libraries' versions and its options are known. A file that it loads, an environment variable,
a device or a time are not, and a network that may look at one is built anew for each plan.
"""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch

from ablate.identity.origin import Origin
from ablate.identity.settle import is_tensor
from ablate.identity.sources import find_file
from ablate.network.trace import make_outline
from ablate.outline.asked import Asked
from ablate.outline.unchanged import locate
from ablate.system.software.environment import package_version
from ablate.system.software.modules import is_installed, room_of

HARMLESS = frozenset({
    "__future__", "abc", "collections", "contextlib", "copy", "dataclasses", "enum", "functools",
    "itertools", "logging", "math", "numbers", "numpy", "operator", "random", "re", "string", "torch",
    "types", "typing", "warnings",
})  # fmt: skip
"""Modules of Python, torch and NumPy, which look at nothing unless they are asked by one of these names:"""

LOOKS = frozenset({
    "FileHandler", "__builtins__", "__file__", "__import__", "__loader__", "__spec__", "_os", "_sys",
    "backends", "cpp_extension", "current_device", "device_count", "distributed", "environ", "eval",
    "exec", "fromfile", "from_file", "genfromtxt", "get_default_device", "get_default_dtype",
    "get_device_capability", "get_device_name", "get_device_properties", "get_num_threads", "getenv",
    "globals", "hub", "is_available", "is_built", "load", "load_file", "load_library",
    "load_state_dict_from_url", "loadtxt", "mem_get_info", "memmap", "multiprocessing", "open",
    "open_memmap", "os", "sys",
})  # fmt: skip

_LOOKING = (
    "open", "os.scandir", "os.system", "os.exec", "os.posix_spawn", "os.fork", "glob.glob",
    "socket.", "subprocess.", "sqlite3.", "urllib.", "http.", "ftplib.", "winreg.", "shutil.",
)  # fmt: skip
"""What Python tells of while it happens (PEP 578), by how the names begin."""


def reads_nothing_else(asked: Asked, origin: Origin) -> bool:
    """Whether source, libraries and options say all about a network: no weights or tables that it may have
    loaded, and nothing in the user's own files that looks elsewhere.
    """
    return (
        all(package_version(name) == version for name, version in origin.libraries.items())
        and all(_is_plain(module, origin) for module in origin.files)
        and not _has_tables(origin.network)
        and _constants_are_plain(asked, origin)
    )


def _is_plain(module: str, origin: Origin) -> bool:
    """Whether a file looks at nothing. Of an installed package that may be imported its content is enough."""
    file = find_file(module)
    if file is None or locate(module) != file:
        return False
    if is_installed(file):
        return True
    return file.suffix == ".py" and looks_at_nothing(file.read_bytes(), module, origin)


def looks_at_nothing(content: bytes, module: str, origin: Origin) -> bool:
    """Whether source names nothing that could look beyond it, and imports nothing that is not known."""
    try:
        nodes = list(ast.walk(ast.parse(content)))
    except (SyntaxError, ValueError):
        return False
    known = HARMLESS | {room_of(name) for name in origin.files} | _rooms(origin.libraries)
    for node in nodes:
        if isinstance(node, ast.Import) and not all(_named(a.name, known) for a in node.names):
            return False
        if isinstance(node, ast.ImportFrom) and not (node.level or _named(node.module, known)):
            return False
        if not LOOKS.isdisjoint(_words(node)):
            return False
    return True


def _named(module: str | None, known: frozenset[str]) -> bool:
    return room_of(module) in known


def _rooms(libraries: Mapping[str, str]) -> frozenset[str]:
    return frozenset(name.replace("-", "_") for name in libraries)


def _words(node: ast.AST) -> Iterator[str]:
    """The names in a node, also those that are text: `getattr(torch, "load")`."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.alias):
        yield from (node.name or "").split(".")
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def _has_tables(network: Mapping[str, Any]) -> bool:
    """Whether anything but weights and buffers holds tensors or arrays: nobody knows where from."""
    parts = [part for key, part in network.items() if key != "tensors"]
    while parts:
        part = parts.pop()
        if is_tensor(part):
            return True
        if isinstance(part, (dict, list)):
            parts.extend(part.values() if isinstance(part, dict) else part)
    return False


def _constants_are_plain(asked: Asked, origin: Origin) -> bool:
    """Whether what does not follow the seed is one value throughout: zeros, ones. A table or loaded weights
    are not."""
    tensors = origin.network["tensors"]
    if not isinstance(tensors, dict) or not all(map(is_tensor, tensors.values())):
        return False
    net = make_outline(asked.backbone, asked.classes, asked.image_size)
    found = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    constant = [name for name, about in tensors.items() if "bits" in about]
    return all(name in found and _is_uniform(found[name]) for name in constant)


def _is_uniform(tensor: torch.Tensor) -> bool:
    values = tensor.detach().reshape(-1)
    if len(values) == 1:
        return values[0].item() in (0, 1)
    return bool((values == values[:1]).all())


@dataclass(frozen=True)
class Seen:
    """What was noted: files whose content can be compared later, and what nobody can vouch for."""

    read: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


@contextmanager
def watched(own: bool) -> Iterator[Seen]:
    """While entered, what this thread opens or asks of the system is noted, but for Python's own files."""
    seen = Seen()
    if not own:
        yield seen
        return
    _install_hook()
    _SEEN[threading.get_ident()] = seen
    try:
        yield seen
    finally:
        del _SEEN[threading.get_ident()]


_SEEN: dict[int, Seen] = {}
"""What was seen, by the thread that does it. A hook stays for as long as the process, and looks here."""


@cache
def _install_hook() -> None:
    sys.addaudithook(_note)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    seen = _SEEN.get(threading.get_ident()) if _SEEN else None
    if seen is None or not event.startswith(_LOOKING):
        return
    path, _, flags = arguments if event == "open" else (None, None, 0)
    if isinstance(path, int) and _only_writes(flags):
        return  # what was opened before, as bytecode that Python keeps
    if not isinstance(path, str):
        seen.refused.append(event)
    elif path in sys.path or path.startswith(_OF_THE_KERNEL):
        seen.read.append(path)
    elif not (_is_code(path) or _is_new(flags)):
        seen.refused.append(event)


def _is_new(flags: int) -> bool:
    """Whether a file is made by this very call, as temporary ones are: there is nothing to read in it."""
    making = os.O_CREAT | os.O_EXCL
    return flags & making == making


def _is_code(path: str) -> bool:
    """Whether a file is of Python, a library or source: these are hashed, or known by their versions."""
    return (
        path.endswith((".py", ".pyc", ".so", ".pyd"))
        or path.startswith(_PYTHONS)
        or is_installed(Path(path))
    )


def _only_writes(flags: int) -> bool:
    return flags & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR) == os.O_WRONLY


_OF_THE_KERNEL = "/proc/sys/"
"""Where Linux has its settings; libraries ask for the number of the boot, say, while they are imported. And
whoever looks for installed packages tries to open each folder of `sys.path` as an archive."""

_PYTHONS = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
