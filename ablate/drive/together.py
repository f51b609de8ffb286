"""Structures that one proof shows: the places of a kind of attention, taken into one network.

Attention in all of these places that reaches the loss from each of them does so with fewer of them too. What
fails together is looked at one by one, so that the line names the variant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ablate.attention import options_at
from ablate.placement import Target, find_targets
from ablate.study import Variant
from ablate.study.position import REPLACE, pieces
from ablate.study.variant import NO_ATTENTION, is_own_attention


@dataclass(frozen=True)
class Structure:
    """A variant for all that have its kind of attention in its places, and its fingerprint."""

    variant: Variant
    fingerprint: str
    targets: tuple[Target, ...]


def group(structures: Sequence[Structure]) -> list[list[Structure]]:
    """Structures that can be proven in one network, in their order."""
    groups: list[list[Structure]] = []
    for each in structures:
        for found in groups:
            if all(_go_together(each, other) for other in found):
                found.append(each)
                break
        else:
            groups.append([each])
    return groups


def joined(structures: Sequence[Structure]) -> Variant:
    """One variant with attention in the places of all of them, under the options of the first."""
    first = structures[0].variant
    if len(structures) == 1:
        return first
    parts = [part for each in structures for part in pieces(str(each.variant.position))]
    return replace(first, position="+".join(dict.fromkeys(parts)))


def structures_of(
    variants: Iterable[tuple[Variant, str]], classes: int, image_size: int
) -> list[Structure]:
    """One for each set of places and their kinds, of a user's own attention for each of its options too; the
    backbone without attention comes first.
    """
    found: dict[tuple[object, ...], Structure] = {}
    for variant, fingerprint in variants:
        targets = find_targets(variant, classes, image_size)
        key = (variant.backbone, *(_at(target, variant) for target in targets))
        found.setdefault(key, Structure(variant, fingerprint, targets))
    return sorted(found.values(), key=lambda each: each.variant.attention != NO_ATTENTION)


def _at(target: Target, variant: Variant) -> tuple[object, ...]:
    """What is proven at a place; a user's own attention may be anything under other options."""
    kind = variant.kind_at(target.part)
    own = is_own_attention(kind)
    options = tuple(options_at(variant, target.part).items()) if own else ()
    return target.attached, kind, *options


def _go_together(one: Structure, other: Structure) -> bool:
    """Of one and the same kind and options, and no place within another: there a tensor may be the same, and
    only the outer attention is what comes after.
    """
    same = one.variant.attention == other.variant.attention != NO_ATTENTION
    return (
        same
        and len(one.variant.kinds) == 1
        and one.variant.options == other.variant.options
        and not any(target.how == REPLACE for each in (one, other) for target in each.targets)
        and not any(isinstance(value, str) and "+" in value for _, value in one.variant.options)
        and not any(_nested({t.path for t in one.targets} | {t.path for t in other.targets}))
    )


def _nested(paths: set[str]) -> Iterator[bool]:
    for path in paths:
        above = path.rpartition(".")[0]
        while above:
            yield above in paths
            above = above.rpartition(".")[0]
