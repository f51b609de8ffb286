"""Positions: where attention goes, as globs over module paths joined by `+`.

A part acts on the output of the modules that it names; `before:` takes their input, and `replace:` puts
attention in their place. A name with a glob's signs is written in quotes or with brackets: `ops."max[3]"`
or `ops.max[[]3]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

AFTER, BEFORE, REPLACE = "after", "before", "replace"
PREFIXES = {f"{BEFORE}:": BEFORE, f"{REPLACE}:": REPLACE}
_TOKENS = re.compile(r""""[^"]*"|'[^']*'|\[!?\]?[^\]]*\]|.""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class PositionPart:
    """One part of a position: a glob, and whether attention goes after, before or instead of its modules."""

    how: str
    glob: str


def parts_of(position: str) -> tuple[PositionPart, ...]:
    """`"pool1+before:conv2"` → its parts, in their order."""
    return tuple(map(_part, pieces(position)))


def pieces(position: str) -> list[str]:
    """`"pool1+before:conv2"` → the text of each part."""
    return [piece.strip() for piece in _split(position, "+")]


def matches_glob(path: str, glob: str) -> bool:
    """Whether a glob names a module path, name by name; what stands in quotes is meant as it stands."""
    names, globs = path.split("."), _names(glob)
    return len(names) == len(globs) and all(map(_matches, names, globs))


def escape(path: str) -> str:
    """The position that names this module alone: `ops.max[3]` → `ops.max[[]3]`."""
    escaped = re.sub(r"[\[*?+\"']", r"[\g<0>]", path)
    return f"[{escaped[0]}]{escaped[1:]}" if path.startswith(tuple(PREFIXES)) else escaped


def _part(text: str) -> PositionPart:
    for prefix, how in PREFIXES.items():
        if text.startswith(prefix):
            return PositionPart(how, text.removeprefix(prefix).strip())
    return PositionPart(AFTER, text)


@lru_cache(maxsize=256)
def _names(glob: str) -> tuple[str, ...]:
    """Asked for each path of a network: hundreds of times in one of hundreds of modules."""
    return tuple(_split(glob, "."))


def _split(text: str, separator: str) -> Iterator[str]:
    """The pieces between separators that stand neither in quotes nor in a glob's brackets."""
    piece = ""
    for token in _TOKENS.findall(text):
        if token == separator:
            yield piece
            piece = ""
        else:
            piece += token
    yield piece


def _matches(name: str, glob: str) -> bool:
    quoted = len(glob) > 1 and glob[0] == glob[-1] and glob[0] in "\"'"
    return name == glob[1:-1] if quoted else fnmatchcase(name, glob)
