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
    head, said = _parts(name)
    found = {each: _parts(each) for each in known}
    exact = [each for each, parts in found.items() if parts == (head, said)]
    return exact or [each for each, (kind, has) in found.items() if kind == head and said <= has]


def _parts(name: str) -> tuple[str, frozenset[str]]:
    """What stands before the bracket, and what is listed in it, each without spaces; of a position joined by
    `+` the order says nothing.
    """
    head, bracket, rest = name.strip().partition("(")
    listed = rest.strip().removesuffix(")") if bracket else ""
    parts = (re.sub(r"\s+", "", part) for part in listed.split(","))
    return head.strip().lower(), frozenset(_ordered(part) for part in parts if part)


def _ordered(part: str) -> str:
    return part if "=" in part else "+".join(sorted(part.split("+")))
