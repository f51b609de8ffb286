"""What a variant costs on paper: parameters by layer and multiply-adds, without weights or data."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ablate.attention import Attention
from ablate.model import build_meta, fingerprint
from ablate.result import Architecture, Layer
from ablate.study import Variant


def describe(variant: Variant, classes: int, image_size: int) -> Architecture:
    """Build a variant on the meta device and count it."""
    net = build_meta(variant, classes, image_size).eval()
    layers = parameter_table(net)
    return Architecture(
        fingerprint=fingerprint(net, image_size),
        backbone=variant.backbone,
        parameters=sum(layer.count for layer in layers),
        attention_parameters=sum(layer.count for layer in layers if layer.attention),
        macs=count_macs(net, image_size),
        layers=layers,
    )


def parameter_table(net: nn.Module) -> tuple[Layer, ...]:
    """One row for each parameter tensor, in the order of the modules."""
    attention = [path for path, module in net.named_modules() if isinstance(module, Attention)]
    rows = []
    for name, parameter in net.named_parameters():
        path, _, own = name.rpartition(".")
        inserted = any(path == a or path.startswith(f"{a}.") for a in attention)
        kind = type(net.get_submodule(path)).__name__
        rows.append(Layer(path, kind, own, parameter.numel(), inserted))
    return tuple(rows)


def count_macs(net: nn.Module, image_size: int) -> int:
    """Multiply-adds of one forward for one image: convolutions and matrix products.

    Unit: one multiply-add is 1. Elementwise work and pooling are not in it, which is why MACs say
    little about attention: see the measured throughput.
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.empty(1, 3, image_size, image_size, device="meta"))
    return int(counter.get_total_flops()) // 2
