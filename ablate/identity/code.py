"""Functions and classes in a description: where they stand, or what they do where no file has them."""

from __future__ import annotations

import inspect
import pathlib
import types
from typing import Any


def content(cell: types.CellType) -> object:
    """What a function closes over."""
    try:
        return cell.cell_contents
    except ValueError:
        return None  # not filled yet


def place(code: types.CodeType) -> list[Any]:
    """From where to where a function's code stands in its file, or the code itself without a file."""
    if not pathlib.Path(code.co_filename).is_file():
        return _bytecode(code)
    spots = [s for s in code.co_positions() if None not in s and s[2] != s[3]]
    if not spots:
        return [code.co_firstlineno]  # `def f(): pass` on one line
    first, last = min((s[0], s[2]) for s in spots), max((s[1], s[3]) for s in spots)
    return [*first, *last]


def _bytecode(code: types.CodeType) -> list[Any]:
    inner = [_bytecode(part) for part in code.co_consts if inspect.iscode(part)]
    parts = [
        sorted(map(repr, p)) if isinstance(p, frozenset) else repr(p)
        for p in code.co_consts
        if not inspect.iscode(p)
    ]
    return [code.co_code.hex(), list(code.co_names), parts, inner]


_LEFT_OUT = {"_abc_impl"}


def is_machinery(name: str) -> bool:
    """Whether every class has an attribute of this name, which says nothing about it."""
    return name in _LEFT_OUT or (
        name.startswith("__") and name.endswith("__") and name != "__init__"
    )
