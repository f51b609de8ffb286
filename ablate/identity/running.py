"""What only a forward shows of a network: weights that it loads when it is first used."""

from __future__ import annotations

from torch import nn

from ablate.identity.tensors import describe_tensor
from ablate.identity.values import Node
from ablate.network.trace import record_calls

AFTER_FORWARD = "tensors after a forward"
"""The part of a description that a network has only where a forward changes its weights or buffers."""


def tensors_of_a_forward(net: nn.Module, image_size: int) -> dict[str, Node]:
    """The weights and buffers that are others after a black image in evaluation mode, by name."""
    before = _describe(net)
    record_calls(net.eval(), image_size, image_size)  # of what it raises planning tells
    return {name: node for name, node in _describe(net).items() if before.get(name) != node}


def _describe(net: nn.Module) -> dict[str, Node]:
    """Weights by their bits. Buffers by their sketch: a forward may compute them, and the last bits of that
    are another processor's."""
    weights = {name: describe_tensor(each) for name, each in net.named_parameters()}
    buffers = {name: describe_tensor(each) for name, each in net.named_buffers()}
    return weights | {name: {**node, "bits": ""} for name, node in buffers.items()}
