"""What a variant costs on paper: parameters by layer and multiply-adds, without training or data."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import nn

from ablate.attention import Attention
from ablate.measure.operations import OperationCounter
from ablate.model import Shape, build_outline, find_targets, fingerprint
from ablate.result import Architecture, Layer
from ablate.study import Variant


def describe(variant: Variant, classes: int, image_size: int) -> Architecture:
    """Build a variant in outline and count it.

    Attention keeps the shape of what it reweights, so the MACs of a variant are those of its
    backbone, counted once, and those of each attention module.

    Raises:
        StudyError: a network that cannot be built, or not for images of this size.
    """
    macs, uncounted = _count_backbone(variant.backbone, classes, image_size)
    net = build_outline(variant, classes, image_size)
    for path, shape in find_targets(variant, classes, image_size).items():
        more, unknown = count_operations(net.get_submodule(path).get_submodule("attention"), shape)
        macs, uncounted = macs + more, uncounted | unknown
    layers = parameter_table(net)
    return Architecture(
        fingerprint=fingerprint(net, image_size),
        backbone=variant.backbone,
        parameters=sum(layer.count for layer in layers),
        attention_parameters=sum(layer.count for layer in layers if layer.attention),
        macs=macs,
        uncounted=tuple(sorted(uncounted)),
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


def count_operations(net: nn.Module, shape: Shape) -> tuple[int, frozenset[str]]:
    """The MACs of one forward of one input of that (C, H, W), and operators that have no rule."""
    with torch.no_grad(), OperationCounter() as counter:
        net.eval()(torch.zeros(1, *shape))
    return counter.macs, frozenset(counter.uncounted)


@lru_cache(maxsize=8)
def _count_backbone(backbone: str, classes: int, image_size: int) -> tuple[int, frozenset[str]]:
    # One forward for all variants of a backbone; find_targets has checked that it takes the image.
    net = build_outline(Variant(backbone), classes, image_size)
    return count_operations(net, (3, image_size, image_size))
