"""Attention in networks that were not made for it: every kind of it, in every family of networks."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from conftest import message
from torch import nn

from ablate import backbones
from ablate.attention import ATTENTION, complete
from ablate.errors import PlacementError
from ablate.measure.architecture import describe
from ablate.model import build, build_outline, fingerprint
from ablate.network.places import find_places, list_places
from ablate.network.trace import record_outputs
from ablate.placement import find_targets
from ablate.study import Variant

SIZE = 32
PLACES = {
    "cbam_cnn": "pool2",
    "torchvision:resnet18": "layer2.*.bn2",
    "torchvision:mobilenet_v3_small": "features.2",
    "torchvision:efficientnet_b0": "features.2.*",
}
"""A backbone of every family and a place in it with at least 16 channels."""


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize(
    "backbone",
    [b if b == "cbam_cnn" else pytest.param(b, marks=pytest.mark.slow) for b in PLACES],
)
def test_every_attention_goes_into_every_kind_of_network(attention: str, backbone: str) -> None:
    variant = complete(Variant(backbone, attention, PLACES[backbone]))
    net = build(variant, 10, SIZE, seed=1)
    targets = find_targets(variant, 10, SIZE)
    outline = build_outline(variant, 10, SIZE)
    assert fingerprint(net, SIZE) == fingerprint(outline, SIZE)
    plain = build(Variant(backbone), 10, SIZE, seed=1)
    assert fingerprint(net, SIZE) != fingerprint(plain, SIZE)
    state = net.state_dict()
    assert all(torch.equal(state[key], value) for key, value in plain.state_dict().items())
    outputs, error = record_outputs(net.eval(), SIZE, SIZE)
    assert error is None
    assert all(len(outputs[target.attached]) == 1 for target in targets)
    net(torch.randn(2, 3, SIZE, SIZE)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_attention_in_a_residual_branch_acts_before_the_addition() -> None:
    variant = complete(Variant("torchvision:resnet18(stem=small)", "se", "layer1.0.bn2"))
    net = build(variant, 10, SIZE, seed=1).eval()
    block, x = net.layer1[0], torch.randn(2, 64, 8, 8)
    branch = block.bn2.attention(nn.functional.batch_norm(
        block.conv2(block.relu(block.bn1(block.conv1(x)))), block.bn2.running_mean,
        block.bn2.running_var, block.bn2.weight, block.bn2.bias,
    ))  # fmt: skip
    torch.testing.assert_close(block(x), torch.relu(branch + x))


@pytest.mark.slow
def test_a_large_network_with_attention_can_be_copied_pickled_and_compiled() -> None:
    net = build(
        complete(Variant("torchvision:resnet18", "cbam", "layer*")), 10, SIZE, seed=1
    ).eval()
    x = torch.randn(2, 3, SIZE, SIZE)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(twin(x), net(x))
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), net(x))


def test_looking_for_places_leaves_no_hook_behind() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    record_outputs(net, 4, 4)
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize(
    ("backbone", "position", "said"),
    [
        ("resnet18", "layer1.0.relu", "'layer1.0.relu' is called 2 times"),
        (
            "convnext_tiny",
            "features.1.0.block.2",
            r"gives (1, 8, 8, 96) with channels that are not",
        ),
        ("convnext_tiny", "features.1.0.block.4", r"gives (1, 8, 8, 384) with channels that are"),
        ("densenet121", "features.denseblock1", "runs its children in a loop"),
        ("resnet18", "fc", "'fc' gives (1, 10), not (N, C, H, W)"),
        ("resnet18", "layr1", "matches no module (did you mean 'layer1'?)"),
    ],
)
def test_places_that_cannot_be_used_have_a_reason(backbone: str, position: str, said: str) -> None:
    variant = complete(Variant(f"torchvision:{backbone}", "se", position))
    assert said in message(PlacementError, lambda: find_targets(variant, 10, SIZE))


def test_a_long_list_is_grouped_into_globs_that_can_be_used() -> None:
    backbone = "torchvision:resnet18"
    listed = list_places(find_places(backbone, 10, SIZE))
    assert "layer*.*.bn2 (8)" in listed
    assert len(listed) < 400
    variant = complete(Variant(backbone, "se", "layer*.*.bn2"))
    assert len(find_targets(variant, 10, SIZE)) == 8


class Loop(nn.Sequential):
    """Runs its children itself, as a Sequential would."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self:
            x = layer(x)
        return x


class Strange(nn.Module):
    """One module under two paths, and a Sequential that runs its children itself."""

    def __init__(self, classes: int, *, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.alias = self.stem
        self.loop = Loop(nn.Conv2d(16, 16, 1))
        self.head = nn.Linear(16, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.loop(self.stem(x)).mean((2, 3)) * self.scale)


@pytest.fixture(autouse=True)
def strange(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backbones.BACKBONES, "strange", Strange)


def test_a_module_under_two_paths_goes_by_its_first() -> None:
    variant = complete(Variant("strange", "se", "alias"))
    said = message(PlacementError, lambda: find_targets(variant, 10, SIZE))
    assert "'alias' is the same module as 'stem'" in said


def test_attention_that_would_run_twice_is_refused() -> None:
    variant = complete(Variant("strange", "se", "loop"))
    said = message(PlacementError, lambda: build_outline(variant, 10, SIZE))
    assert said == "strange calls attention after 'loop' 2 times: name another module"


@pytest.mark.slow
def test_a_users_settings_are_part_of_the_fingerprint() -> None:
    def of(backbone: str) -> str:
        return describe(Variant(backbone), 10, SIZE).fingerprint

    assert of("strange(scale=2)") != of("strange") == of("strange(scale=1.0)")
