"""All tensors that a network keeps: its state dict, and what stands beside that."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn


def tensors_beside(net: nn.Module) -> dict[str, torch.Tensor]:
    """The parameters and buffers that a network's state dict leaves out: buffers that are not saved, and
    what a `state_dict` of its own passes over.
    """
    saved = net.state_dict().keys()
    tensors = [*net.named_parameters(), *net.named_buffers()]
    return {name: tensor for name, tensor in tensors if name not in saved}


def restore_beside(net: nn.Module, values: Mapping[str, torch.Tensor]) -> None:
    """Put these values back into the parameters and buffers of their names."""
    tensors = dict([*net.named_parameters(), *net.named_buffers()])
    with torch.no_grad():
        for name, value in values.items():
            tensors[name].copy_(value)


def no_tensors(net: nn.Module) -> list[str]:
    """What in a network's state dict is no tensor, as extra state may be: no file of tensors holds it."""
    return [key for key, value in net.state_dict().items() if not isinstance(value, torch.Tensor)]
