"""What a variant costs on paper: parameters by layer and operations, without training or data."""

from __future__ import annotations

from functools import lru_cache

from torch import nn

from ablate.attention import Attention
from ablate.identity import origin
from ablate.measure.operations import Operations, count_operations
from ablate.model import build_outline, find_targets, fingerprint
from ablate.result import Architecture, Layer
from ablate.result.architecture import ATTACHED_AS
from ablate.study import Variant


def describe(
    variant: Variant, classes: int, image_size: int, identity: str | None = None
) -> Architecture:
    """Build a variant in outline and count it. `identity` is the study's own name for the network.

    Attention keeps the shape of what it reweights, so the operations of a variant are those of its
    backbone, counted once, and those of each attention module.

    Raises:
        StudyError: a network that cannot be built, described, or not for images of this size.
    """
    operations = _count_backbone(variant.backbone, classes, image_size)
    net = build_outline(variant, classes, image_size)
    mark = fingerprint(net, image_size, origin(variant.backbone, classes, identity))
    for path, shape in find_targets(variant, classes, image_size).items():
        operations += count_operations(net.get_submodule(f"{path}.{ATTACHED_AS}"), shape)
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
    net = build_outline(Variant(backbone), classes, image_size)
    return count_operations(net, (3, image_size, image_size))
