"""What only a forward shows of a network: weights that it loads when it is first used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from ablate.identity.tensors import describe_tensor
from ablate.identity.values import Node
from ablate.network.trace import record_calls

AFTER_FORWARD = "tensors after a forward"
"""The part of a description that a network has only where a forward changes its weights or buffers."""


@dataclass(frozen=True)
class Forward:
    """The weights and buffers of a network after a forward, and the names of those that it changed."""

    tensors: Mapping[str, Node]
    changed: frozenset[str]

    def only(self, names: Iterable[str]) -> dict[str, Node]:
        """Those of these names, that a forward of this network or of its twins changed."""
        return {name: self.tensors.get(name) for name in sorted(names)}


def look_at_forward(net: nn.Module, shape: Sequence[int]) -> Forward:
    """Show a network a black image, or attention a map, of this shape (C, H, W), in evaluation mode."""
    before = _describe(net)
    channels, height, width = shape
    record_calls(net.eval(), height, width, channels=channels)  # of what it raises planning tells
    after = _describe(net)
    return Forward(after, frozenset(n for n in after if before.get(n) != after[n]))


def _describe(net: nn.Module) -> dict[str, Node]:
    """Weights by their bits. Buffers by their sketch: a forward may compute them, and the last bits of that
    are another processor's."""
    weights = {name: describe_tensor(each) for name, each in net.named_parameters()}
    buffers = {name: describe_tensor(each) for name, each in net.named_buffers()}
    return weights | {name: {**node, "bits": ""} for name, node in buffers.items()}
