"""The names in a file of weights as those of a network, without what wrappers have put before or between."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable

from torch import Tensor

from ablate.network.state_file import Held, State

WRAPPERS = ("module", "_orig_mod")
"""Names that data parallel and the compiler put between those of modules."""
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)$")


def named_as(shapes: Collection[str], held: Iterable[Held]) -> tuple[str, State]:
    """Of the state dicts of a file the one that fits best, the first of equals, by the names of the network,
    and under which keys the file holds it.
    """
    found = [(each.under, _renamed(shapes, each.tensors)) for each in held]
    return max(found, key=lambda each: sum(name in shapes for name in each[1]))


def _renamed(shapes: Collection[str], state: State) -> State:
    """Without what wrappers have put before all names or between them, where that makes more of them fit."""
    plain = {name: _unwrapped(shapes, name) for name in state}
    ends = Counter(
        name[: len(name) - len(end)]
        for name in plain.values()
        for end in _ends(name)
        if end in shapes
    )
    if not ends:
        return state
    # The most, then the shortest: names that fit as they are come first.
    prefix = max(ends, key=lambda each: (ends[each], -len(each)))
    if ends[""] and 2 * ends[prefix] < len(shapes):
        prefix = ""  # of another network, one of whose blocks has layers that are called as ours
    found: dict[str, Tensor] = {}
    # Those that are called so come first: what a wrapper had under the same name is another one, left over.
    for name in sorted(state, key=lambda name: plain[name].removeprefix(prefix) != name):
        short = plain[name].removeprefix(prefix)
        found[name if short in found else short] = state[name]
    return found


def _ends(name: str) -> list[str]:
    """`a.b.c` → `a.b.c`, `b.c`, `c`."""
    parts = name.split(".")
    return [".".join(parts[start:]) for start in range(len(parts))]


def _unwrapped(shapes: Collection[str], name: str) -> str:
    if name in shapes:
        return name
    name = _OLD_DENSENET.sub(r"\1\2", name)
    parts = [part for part in name.split(".") if part not in WRAPPERS]
    return ".".join(parts) if any(end in shapes for end in _ends(".".join(parts))) else name
