"""A variant with its options written out: from the options that its attention has, no torch needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ablate.errors import OptionError, unknown
from ablate.study.options import complete_known
from ablate.study.position import parts_of
from ablate.study.variant import NO_ATTENTION, SHORT_OPTION, Variant

ELSEWHERE = "PACKAGE.MODULE:CLASS"
"""How attention of a user's own is named."""


def complete_variant(variant: Variant, known: Mapping[str, Mapping[str, Any]]) -> Variant:
    """The same variant with the options written out that say what is built: reduction and kernel size
    always, others where they differ from their defaults. `known` has each attention's options with defaults.

    Raises:
        UnknownNameError: no such attention.
        OptionError: an option that this attention does not have, or a missing position.
    """
    if variant.attention == NO_ATTENTION:
        if variant.position is not None or variant.options:
            given = ", ".join(
                ["position"] * (variant.position is not None) + [k for k, _ in variant.options]
            )
            raise OptionError(
                f"attention {NO_ATTENTION!r} takes no {given}: give it a [[grid]] table of its own"
            )
        return variant
    if variant.attention not in known:
        raise unknown("attention", variant.attention, [NO_ATTENTION, *known, ELSEWHERE])
    if variant.position is None:
        raise OptionError(f'{variant.attention} needs a position, for example "pool*"')
    options = complete_known(
        variant.attention,
        known[variant.attention],
        dict(variant.options),
        by_part=True,
        hint=". Give other attention its own [[grid]] table",
    )
    parts = len(parts_of(variant.position))
    for key, value in options.items():
        if isinstance(value, str) and "+" in value and len(value.split("+")) != parts:
            raise OptionError(
                f"{variant.attention}: {key} {value!r} has {len(value.split('+'))} values, and the "
                f"position {variant.position!r} {parts}: give one for each part, or one for all"
            )
    defaults = known[variant.attention]
    named = {
        k: v
        for k, v in options.items()
        if v != defaults[k] or (k in SHORT_OPTION and isinstance(v, (int, float, str)))
    }
    return Variant(variant.backbone, variant.attention, variant.position, tuple(named.items()))
