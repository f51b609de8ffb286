"""Operations of whole networks: as `FlopCounterMode` counts them, and no operator without a rule."""

from __future__ import annotations

from math import prod

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ablate.backbones.torchvision import load_models
from ablate.measure.architecture import describe
from ablate.measure.operations import Operations, count_operations
from ablate.network.fresh import Uninitialised
from ablate.network.trace import make_outline
from ablate.study import Variant

# Every operator that any of torchvision 0.29's 80 networks for classification and 6 for segmentation
# runs is in one of these, one or more of each family; the published numbers are those of
# torchvision's own table (its GFLOPS are multiply-adds).
NETWORKS: list[tuple[str, int, float | None]] = [
    ("alexnet", 64, None),
    ("convnext_tiny", 224, 4.46),
    ("densenet121", 224, 2.83),
    ("efficientnet_b0", 224, 0.386),
    ("efficientnet_v2_s", 64, None),
    ("googlenet", 64, None),
    ("inception_v3", 75, None),
    ("maxvit_t", 224, None),
    ("mnasnet0_5", 64, None),
    ("mobilenet_v2", 64, None),
    ("mobilenet_v3_large", 224, 0.217),
    ("regnet_x_400mf", 64, None),
    ("regnet_y_400mf", 64, None),
    ("resnet50", 224, 4.09),
    ("shufflenet_v2_x0_5", 64, None),
    ("squeezenet1_1", 64, None),
    ("swin_t", 64, None),
    ("swin_v2_t", 64, None),
    ("vit_b_16", 224, 17.56),
    ("deeplabv3_mobilenet_v3_large", 64, None),
    ("fcn_resnet50", 64, None),
    ("lraspp_mobilenet_v3_large", 64, None),
]

FEW = ("resnet50", "mobilenet_v2", "vit_b_16", "lraspp_mobilenet_v3_large")
"""Of the quick tests: a network of each kind."""


def build(name: str) -> nn.Module:
    models = load_models()
    if name not in models.list_models(module=models.segmentation):
        return make_outline(f"torchvision:{name}", 1000, 224)
    with Uninitialised():
        net: nn.Module = models.get_model(name, weights=None, weights_backbone=None)
    return net


@pytest.mark.parametrize(
    ("name", "size", "gmacs"),
    [n if n[0] in FEW else pytest.param(*n, marks=pytest.mark.slow) for n in NETWORKS],
)
def test_torchvisions_networks_count_as_flop_counter_counts_them(
    name: str, size: int, gmacs: float | None
) -> None:
    """It counts a multiply-add as two operations."""
    net = build(name)
    with FlopCounterMode(display=False) as theirs:
        found = count_operations(net, (3, size, size))
    assert found.uncounted == frozenset()
    assert 2 * found.macs == theirs.get_total_flops()
    assert gmacs is None or found.macs / 1e9 == pytest.approx(gmacs, rel=0.01)


def test_a_transposed_convolution_multiplies_each_input_value_with_each_of_its_weights() -> None:
    net = nn.ConvTranspose2d(4, 8, 2, stride=2)
    expected = Operations(macs=(4 * 5 * 5) * (8 * 2 * 2), activations=8 * 10 * 10)
    assert count_operations(net, (4, 5, 5)) == expected


def test_a_network_that_infers_for_itself_counts_the_same() -> None:
    """In inference_mode a layer is one operator: it is taken apart."""
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 2, 2), nn.Flatten(), nn.Linear(50, 3)
    )

    class Inferring(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.inference_mode():
                scores: torch.Tensor = net(x)
            return scores

    assert count_operations(Inferring(), (3, 6, 6)) == count_operations(net, (3, 6, 6))


def test_a_resnets_operations_follow_from_the_shapes_of_its_layers() -> None:
    net = make_outline("torchvision:resnet18", 10, 32).eval()
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
