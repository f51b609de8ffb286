"""Names of variants as people type them: spaces, order and what goes without saying may differ."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ablate.errors import UnknownNameError, unknown

MOST = 10


def find_variant(
    name: str, known: Iterable[str], kind: str = "variant", others: Sequence[str] = ()
) -> str:
    """The one of the `known` variants that a name means: `cbam(layer4,r=4)` means `cbam(layer4, r=4, k=7)`
    where no other is so. `others` are what else could have been typed.

    Raises:
        UnknownNameError: none is meant, or several are; names them.
    """
    names = list(known)
    if name in names:
        return name
    meant = meant_variants(name, names)
    if len(meant) == 1:
        return meant[0]
    if not meant:
        raise unknown(kind, name, [*names, *others])
    some = "; ".join(meant[:MOST]) + (f"; … ({len(meant)} in all)" if len(meant) > MOST else "")
    raise UnknownNameError(f"{kind} {name!r} may be any of these, write one of them: {some}")


def or_meant(name: str, known: Iterable[str]) -> str:
    """The variant that a name means where it is one alone, else the name as it stands, for its own error."""
    names = list(known)
    meant = meant_variants(name, names)
    return meant[0] if name not in names and len(meant) == 1 else name


def meant_variants(name: str, known: Iterable[str]) -> list[str]:
    """Those that have everything that a name says; only those that say nothing else, if there are some."""
    in_order = _is_by_part(name)
    head, said = _parts(name, in_order=in_order)
    found = {each: _parts(each, in_order=in_order) for each in known}
    exact = [each for each, parts in found.items() if parts == (head, said)]
    return exact or [each for each, (kind, has) in found.items() if kind == head and said <= has]


def _is_by_part(name: str) -> bool:
    """Whether the order of a position says something: a name has a kind or a value for each part of it."""
    head, *parts = re.split(r"[(,]", name)
    return any("+" in part for part in (head, *(part for part in parts if "=" in part)))


def _parts(name: str, *, in_order: bool) -> tuple[str, frozenset[str]]:
    """What stands before the bracket, and what is listed in it, each without spaces; of a position joined by
    `+` the order says nothing unless it is meant.
    """
    head, bracket, rest = re.sub(r"\s+", "", name).partition("(")
    parts = (rest.removesuffix(")") if bracket else "").split(",")
    order = list if in_order else sorted
    return head.lower(), frozenset(
        part if "=" in part else "+".join(order(part.split("+"))) for part in parts if part
    )
