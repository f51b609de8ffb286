"""The shelf of attention modules. To add one: a file beside this one, and a line in `ATTENTION`."""

from __future__ import annotations

from ablate.attention.base import Attention
from ablate.attention.cbam import CBAM, ChannelAttention, SpatialAttention
from ablate.attention.eca import ECA
from ablate.attention.placebo import Identity, RandomGate
from ablate.attention.se import SE
from ablate.errors import OptionError, unknown
from ablate.options import complete_options
from ablate.study import NO_ATTENTION, Variant

ATTENTION: dict[str, type[Attention]] = {
    "se": SE,
    "cbam": CBAM,
    "cbam_channel": ChannelAttention,
    "cbam_spatial": SpatialAttention,
    "eca": ECA,
    "identity": Identity,
    "random_gate": RandomGate,
}

__all__ = ["ATTENTION", "Attention", "complete"]


def complete(variant: Variant) -> Variant:
    """The same variant with every option written out, so that its name says what is built.

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
    if variant.attention not in ATTENTION:
        raise unknown("attention", variant.attention, [NO_ATTENTION, *ATTENTION])
    if variant.position is None:
        raise OptionError(f'{variant.attention} needs a position, for example "pool*"')
    options = complete_options(
        variant.attention,
        ATTENTION[variant.attention],
        dict(variant.options),
        hint=". Give other attention its own [[grid]] table",
    )
    return Variant(variant.backbone, variant.attention, variant.position, tuple(options.items()))
