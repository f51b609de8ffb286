"""What a variant costs on paper: parameters by layer and operations, without training or data."""

from __future__ import annotations

from functools import lru_cache

from torch import nn

from ablate.attention import Attention
from ablate.errors import StudyError
from ablate.measure.operations import Operations, count_operations
from ablate.model import build_outline, find_targets, fingerprint
from ablate.result import Architecture, Layer
from ablate.study import Variant
from ablate.system.text import one_line


def describe(variant: Variant, classes: int, image_size: int) -> Architecture:
    """Build a variant in outline and count it.

    Attention keeps the shape of what it reweights, so the operations of a variant are those of its
    backbone, counted once, and those of each attention module.

    Raises:
        StudyError: a network that cannot be built, or not for images of this size.
    """
    operations = _count_backbone(variant.backbone, classes, image_size)
    net = build_outline(variant, classes, image_size)
    for target in find_targets(variant, classes, image_size):
        attention = net.get_submodule(target.attached)
        operations += count_operations(attention, target.shape, maps=target.maps)
    layers = parameter_table(net)
    return Architecture(
        fingerprint=fingerprint(net, image_size),
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
    try:
        return count_operations(net, (3, image_size, image_size))
    except Exception as error:
        raise StudyError(
            f"{backbone}: counting its operations failed: {one_line(error)}"
        ) from error
