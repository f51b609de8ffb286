"""Attention that a network of somebody else's brings along, told by the names of its classes."""

from __future__ import annotations

import inspect
import re

from torch import nn

from ablate.attention.base import Attention

_PART = r"(Module|Layer|Block|Gate|Unit|Attention|Attn|2[dD]|_|$)"

KINDS = {
    "CBAM": rf"(?i:cbam)|(^|_)BAM{_PART}",
    "ECA": rf"^(?i:c?eca)_?(?i:{_PART})|EfficientChannelAttention",
    "coordinate attention": r"Coord(inate)?Att|^CA_?(Module|Layer|Block)$",
    "SE": rf"^([a-z]*|E|Effective|Channel|Spatial)SE{_PART}|^Se{_PART}|^se_(layer|module|block|unit)"
    r"|(?i:squeeze_?(and)?_?excit)",
    "global context": r"GlobalContext|GatherExcite",
    "selective kernels": r"SelectiveKernel$|^SK(Conv|Unit|Attention|Attn|Layer|Module)",
}
"""What attention is called in this field → the names of classes that are that."""

_LARGER = re.compile(
    r"net|bottleneck|bneck|residual|resblock|basic|inverted|stage|stem|encoder|transformer|head|trans$",
    re.IGNORECASE,
)
_ATTENTION = re.compile(r"(Att|Attn|Attention)(Module|Block|Layer|Gate|2d|2D)?$")


def kind_of(module: nn.Module) -> str | None:
    """What kind of attention a module is that is not ours, or None.

    Blocks and networks that are named after the attention inside them are none themselves; one whose
    name only ends in attention must have a gate, which tells it from a transformer's.
    """
    name = type(module).__name__
    if isinstance(module, Attention) or _LARGER.search(name):
        return None
    for kind, pattern in KINDS.items():
        if re.search(pattern, name):
            return kind
    return name if _ATTENTION.search(name) and _has_gate(module) else None


def _has_gate(module: nn.Module) -> bool:
    if any(isinstance(part, (nn.Sigmoid, nn.Hardsigmoid)) for part in module.modules()):
        return True
    try:
        return "igmoid" in inspect.getsource(type(module))
    except (OSError, TypeError):
        return False
