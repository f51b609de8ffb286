"""The shelf of attention modules. To add one: a file beside this one, and a line in `ATTENTION`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from torch import nn

from ablate.attention.base import Attention
from ablate.attention.cbam import CBAM, ChannelAttention, SpatialAttention
from ablate.attention.eca import ECA
from ablate.attention.own import OwnAttention, OwnCall, build_own_attention
from ablate.attention.own_signature import own_option_names, own_options
from ablate.attention.placebo import Identity, RandomGate
from ablate.attention.se import SE
from ablate.errors import OptionError, unknown
from ablate.study import NO_ATTENTION, Option, Variant
from ablate.study.complete import ELSEWHERE, complete_variant
from ablate.study.complete import options_at as known_options_at
from ablate.study.options import keyword_options
from ablate.study.variant import is_own_attention

ATTENTION: dict[str, type[Attention]] = {
    "se": SE,
    "cbam": CBAM,
    "cbam_channel": ChannelAttention,
    "cbam_spatial": SpatialAttention,
    "eca": ECA,
    "identity": Identity,
    "random_gate": RandomGate,
}

KERNELS = ("plain", "fused")
"""The ways to compute an attention module: the paper's equations, or the same in fewer passes."""

__all__ = [
    "ATTENTION",
    "KERNELS",
    "Attention",
    "OwnAttention",
    "OwnCall",
    "build_own_attention",
    "complete",
    "fusable",
    "options_at",
    "options_of",
    "use_kernels",
]


def complete(variant: Variant) -> Variant:
    """The same variant with the options written out that say what is built: reduction and kernel size
    always, others where they differ from their defaults.

    Raises:
        UnknownNameError: no such attention.
        OptionError: an option that none of its kinds has, a missing position, or not one kind for each part.
        StudyError: attention of the user's that may not be imported, or cannot be.
    """
    return complete_variant(variant, _known(variant))


def options_at(variant: Variant, part: int) -> dict[str, Option]:
    """The options at one part of the position of a variant that is complete: those that its kind there has.

    Raises:
        StudyError: attention of the user's that may not be imported, or cannot be.
    """
    return known_options_at(variant, part, _known(variant))


def _known(variant: Variant) -> dict[str, dict[str, Any]]:
    """The options, with their defaults, of every kind that a variant may name."""
    own, given = variant.own_kinds, dict(variant.options)
    if own and len(set(variant.kinds)) == 1:
        return {own[0]: own_options(own[0], given)}
    known = {name: _defaults(kind) for name, kind in ATTENTION.items()}
    named = {kind: options_of(kind) for kind in variant.kinds if kind in {*known, *own}}
    for name in own:
        others = {key for kind, keys in named.items() if kind != name for key in keys}
        known[name] = own_options(name, given, others)
    return known


@cache
def _defaults(kind: type[Attention]) -> dict[str, Any]:
    """Read once: a search looks at thousands of variants."""
    return keyword_options(kind)


def options_of(name: str) -> tuple[str, ...]:
    """The names of the options of one kind of attention.

    Raises:
        UnknownNameError: no such attention.
        StudyError: attention of the user's that may not be imported, or cannot be.
    """
    if is_own_attention(name):
        return own_option_names(name)
    if name not in ATTENTION:
        raise unknown("attention", name, [NO_ATTENTION, *ATTENTION, ELSEWHERE])
    return tuple(_defaults(ATTENTION[name]))


def fusable() -> tuple[str, ...]:
    """The names in `ATTENTION` whose module has a fused path."""
    return tuple(name for name, kind in ATTENTION.items() if kind.fused is not Attention.fused)


def use_kernels(net: nn.Module, kernels: Mapping[str, str]) -> None:
    """Say how the attention in a network is computed: kernels by name in `ATTENTION`.

    Names that are missing stay plain, so `use_kernels(net, {})` makes all of it plain again. What
    counts is the outermost module: the halves of a CBAM belong to it and are not asked themselves.

    Raises:
        UnknownNameError: a name that is not in `ATTENTION`.
        OptionError: no such kernel, or one that the named attention does not have.
    """
    for name, kernel in kernels.items():
        _check_kernel(name, kernel)
    by_class = {ATTENTION[name]: kernel for name, kernel in kernels.items()}
    for module in _outermost(net):
        module.kernel = by_class.get(type(module), "plain")


def _check_kernel(name: str, kernel: str) -> None:
    if name not in ATTENTION:
        raise unknown("attention", name, ATTENTION)
    if kernel not in KERNELS:
        raise OptionError(f"{name} has no kernel {kernel!r}; there are: {', '.join(KERNELS)}")
    if kernel == "fused" and name not in fusable():
        raise OptionError(f"{name} has no fused kernel, only plain; fused: {', '.join(fusable())}")


def _outermost(net: nn.Module) -> Iterator[Attention]:
    if isinstance(net, Attention):
        yield net
        return
    for child in net.children():
        yield from _outermost(child)
