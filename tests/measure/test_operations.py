"""Operations of whole networks: published numbers, formulas from layer shapes, and no rule missing."""

from __future__ import annotations

from math import prod

import pytest
import torch
from torch import nn

from ablate.measure.architecture import describe
from ablate.measure.operations import Operations, count_operations
from ablate.placement import make_outline
from ablate.study import Variant


@pytest.mark.parametrize(
    ("name", "size", "gmacs"),
    [
        ("resnet50", 224, 4.09),
        ("mobilenet_v3_large", 224, 0.217),
        ("efficientnet_b0", 224, 0.386),
        ("convnext_tiny", 224, 4.46),
        ("densenet121", 224, 2.83),
        ("vit_b_16", 224, 17.56),
        ("vgg16_bn", 32, None),
        ("maxvit_t", 224, None),
    ],
)
def test_torchvisions_networks_have_no_operator_without_a_rule(
    name: str, size: int, gmacs: float | None
) -> None:
    """The published numbers are those of torchvision's own table (its GFLOPS are multiply-adds)."""
    found = count_operations(make_outline(f"torchvision:{name}", 1000), (3, size, size))
    assert found.uncounted == frozenset()
    assert gmacs is None or found.macs / 1e9 == pytest.approx(gmacs, rel=0.01)


def test_a_resnets_operations_follow_from_the_shapes_of_its_layers() -> None:
    net = make_outline("torchvision:resnet18", 10).eval()
    macs, activations = [], []

    def note(layer: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        per_value = prod(layer.weight.shape[1:])
        macs.append(output.numel() * per_value)
        activations.append(output.numel())

    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(note)
    with torch.no_grad():
        net(torch.zeros(1, 3, 64, 64))
    found = describe(Variant("torchvision:resnet18"), 10, 64)
    assert (found.macs, found.activations) == (sum(macs), sum(activations))


def test_elementwise_operations_are_counted_apart() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
    # batch norm and ReLU touch 4 × 6 × 6 values each, the pool reads as many
    expected = Operations(macs=4 * 3 * 36, elementwise=3 * 4 * 36, activations=4 * 36)
    assert count_operations(net, (3, 6, 6)) == expected
