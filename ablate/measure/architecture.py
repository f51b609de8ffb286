"""What a variant costs on paper: parameters by layer and operations, without training or data."""

from __future__ import annotations

from functools import lru_cache

from torch import nn

from ablate.attention import Attention
from ablate.errors import StudyError
from ablate.identity.known import origin
from ablate.measure.operations import Operations, count_operations
from ablate.model import build_outline, find_targets, fingerprint
from ablate.result import Architecture, Layer
from ablate.study import Variant
from ablate.study.position import REPLACE
from ablate.system.messages.text import one_line


def describe(
    variant: Variant, classes: int, image_size: int, identity: str | None = None
) -> Architecture:
    """Build a variant in outline and count it. `identity` is the study's own name for the network.

    Attention keeps the shape of what it reweights, so the operations of a variant are those of its
    backbone, counted once, and those of each attention module; where it replaces something all is counted.

    Raises:
        StudyError: a network that cannot be built, described, or not for images of this size.
    """
    net = build_outline(variant, classes, image_size)
    mark = fingerprint(net, image_size, origin(variant.backbone, classes, identity, image_size))
    targets = find_targets(variant, classes, image_size)
    if any(target.how == REPLACE for target in targets):
        whole = build_outline(variant, classes, image_size)  # counting leaves it in evaluation mode
        operations = _count(whole, variant, image_size)
    else:
        operations = _count_backbone(variant.backbone, classes, image_size)
        for target in targets:
            attention = net.get_submodule(target.attached)
            operations += count_operations(attention, target.shape, maps=target.maps)
    layers = parameter_table(net)
    return Architecture(
        fingerprint=mark,  # of the network before it was counted, which leaves parts in eval mode
        backbone=variant.backbone,
        parameters=sum(layer.count for layer in layers),
        attention_parameters=sum(layer.count for layer in layers if layer.attention),
        macs=operations.macs,
        uncounted=tuple(sorted(operations.uncounted)),
        layers=layers,
        elementwise=operations.elementwise,
        activations=operations.activations,
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


@lru_cache(maxsize=8)
def _count_backbone(backbone: str, classes: int, image_size: int) -> Operations:
    # One forward for all variants of a backbone; find_targets has checked that it takes the image.
    variant = Variant(backbone)
    return _count(build_outline(variant, classes, image_size), variant, image_size)


def _count(net: nn.Module, variant: Variant, image_size: int) -> Operations:
    try:
        return count_operations(net, (3, image_size, image_size))
    except Exception as error:
        raise StudyError(
            f"{variant.backbone}: counting its operations failed: {one_line(error)}"
        ) from error
