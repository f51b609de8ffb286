"""Placement, initialisation and fingerprint: attention in a network, on paper and for real."""

from __future__ import annotations

import copy
import pickle
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import init

from ablate import backbones
from ablate.attention import complete
from ablate.attention.base import Attention
from ablate.errors import OptionError, PlacementError, UnknownNameError
from ablate.measure.architecture import describe
from ablate.model import build, fingerprint
from ablate.network.fresh import Uninitialised
from ablate.study import Variant


def variant(attention: str = "none", position: str | None = None, **options: int) -> Variant:
    return complete(Variant("cbam_cnn", attention, position, tuple(options.items())))


def test_the_tutorials_network_by_layer() -> None:
    found = describe(variant("cbam", "pool*", reduction=16, kernel_size=7), 10, 32)
    by_layer = {}
    for layer in found.layers:
        by_layer.setdefault(layer.path.split(".")[0], []).append(layer.count)
    assert by_layer == {
        "conv1": [864, 32],
        "bn1": [32, 32],
        "pool1": [64, 64, 98],
        "conv2": [18_432, 64],
        "bn2": [64, 64],
        "pool2": [256, 256, 98],
        "conv3": [73_728, 128],
        "bn3": [128, 128],
        "pool3": [1_024, 1_024, 98],
        "fc1": [1_048_576, 512],
        "fc2": [5_120, 10],
    }
    assert found.parameters == 1_150_896
    assert found.attention_parameters == 1_150_896 - 1_147_914
    assert describe(variant(), 10, 32).parameters == 1_147_914


def test_macs_are_convolutions_and_matrix_products() -> None:
    convolutions = 9 * (3 * 32 * 32**2 + 32 * 64 * 16**2 + 64 * 128 * 8**2)
    linear = 2048 * 512 + 512 * 10
    assert describe(variant(), 10, 32).macs == convolutions + linear
    se = describe(variant("se", "pool1", reduction=4), 10, 32).macs
    assert se == convolutions + linear + 2 * 32 * 8


def test_attention_acts_after_the_named_module() -> None:
    net = build(variant("se", "pool2", reduction=4), 10, 32, seed=1).eval()
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    plain = build(variant(), 10, 32, seed=1).eval()
    y = plain.pool1(plain.relu1(plain.bn1(plain.conv1(x))))
    y = plain.pool2(plain.relu2(plain.bn2(plain.conv2(y))))
    y = net.get_submodule("pool2.attention")(y)
    y = plain.pool3(plain.relu3(plain.bn3(plain.conv3(y))))
    torch.testing.assert_close(net(x), plain.fc2(plain.relu4(plain.fc1(y.flatten(1)))))


def test_variants_of_a_seed_share_the_backbones_weights_and_its_keys() -> None:
    plain = build(variant(), 10, 32, seed=3).state_dict()
    cbam = build(variant("cbam", "pool1+pool3"), 10, 32, seed=3).state_dict()
    assert all(torch.equal(cbam[key], value) for key, value in plain.items())
    other = build(variant(), 10, 32, seed=4).state_dict()
    assert not torch.equal(plain["conv1.weight"], other["conv1.weight"])


def test_an_attention_modules_weights_depend_on_seed_and_path_alone() -> None:
    one = build(variant("se", "pool3"), 10, 32, seed=3).state_dict()
    all_three = build(variant("se", "pool*"), 10, 32, seed=3).state_dict()
    key = "pool3.attention.fc1.weight"
    assert torch.equal(one[key], all_three[key])


def test_building_leaves_torchs_own_generator_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    build(variant("cbam", "pool*"), 10, 32, seed=1)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.slow
def test_a_network_with_attention_can_be_copied_pickled_and_compiled() -> None:
    net = build(variant("cbam", "pool*"), 10, 32, seed=1).eval()
    x = torch.randn(2, 3, 32, 32)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(twin(x), net(x))
        twin.get_submodule("pool1.attention.channel.fc1").weight.data.fill_(9)
        assert not torch.equal(twin(x), net(x)), "the copy has attention of its own"
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), net(x))


@pytest.mark.parametrize(
    ("position", "paths"),
    [
        ("pool1", ["pool1"]),
        ("pool3+pool1", ["pool1", "pool3"]),
        ("pool*", ["pool1", "pool2", "pool3"]),
        ("relu[12]", ["relu1", "relu2"]),
    ],
)
def test_positions_are_globs_over_module_paths(position: str, paths: list[str]) -> None:
    net = build(variant("se", position), 10, 32, seed=1)
    found = [path for path, module in net.named_modules() if isinstance(module, Attention)]
    assert found == [f"{path}.attention" for path in paths]


@pytest.mark.parametrize(
    ("position", "message"),
    [
        ("pool9", "position 'pool9' matches no module"),
        ("pool1+", "position '' matches no module"),
        ("fc1", r"'fc1' gives \(1, 512\), not \(N, C, H, W\)"),
        ("relu*", r"'relu4' gives \(1, 512\)"),
    ],
)
def test_a_position_that_cannot_be_used_lists_those_that_can(position: str, message: str) -> None:
    with pytest.raises(PlacementError, match=message) as caught:
        describe(variant("se", position), 10, 32)
    assert "attention can go after: conv1, bn1, relu1, pool1" in str(caught.value)


def test_a_reduction_that_leaves_no_hidden_unit_names_variant_and_place() -> None:
    with pytest.raises(OptionError, match=r"se\(pool\*, r=64\) at 'pool1': reduction 64 leaves no"):
        describe(variant("se", "pool*", reduction=64), 10, 32)


def test_an_image_size_that_the_backbone_cannot_take() -> None:
    with pytest.raises(PlacementError, match="googlenet cannot take 8×8 images"):
        describe(Variant("torchvision:googlenet"), 10, 8)


def test_an_unknown_backbone() -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown backbone 'cbam_cn'.*did you mean 'cbam_cnn'"
    ):
        describe(Variant("cbam_cn"), 10, 32)


class Shared(nn.Module):
    """A network with everything that makes a place unusable, and a Sequential."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
        self.relu = nn.ReLU()
        self.unused = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.relu(self.stem(x)))
        return self.head(x.mean((2, 3)))


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(backbones.BACKBONES, "shared", Shared)
    return "shared"


def test_modules_called_twice_or_never_are_refused(shared: str) -> None:
    for position, message in (("relu", "is called 2 times"), ("unused", "is never called")):
        with pytest.raises(PlacementError, match=message):
            describe(complete(Variant(shared, "se", position, (("reduction", 2),))), 10, 16)


def test_attention_after_a_sequential_is_applied_once(shared: str) -> None:
    net = build(complete(Variant(shared, "se", "stem", (("reduction", 2),))), 10, 16, seed=1)
    calls = []
    net.get_submodule("stem.attention").register_forward_hook(lambda *_: calls.append(1))
    net(torch.randn(1, 3, 16, 16))
    assert calls == [1]


def test_fingerprints_follow_the_built_network_not_its_description() -> None:
    def of(*arguments: object, **options: int) -> str:
        return describe(variant(*arguments, **options), 10, 32).fingerprint

    assert of("se", "pool*") == of("se", "pool1+pool2+pool3")
    # 128 // 12 = 128 // 11 = ... differ, but 32 // 17 and 32 // 32 both leave one hidden unit
    assert of("se", "pool1", reduction=17) == of("se", "pool1", reduction=32)
    different = [of(), of("se", "pool1"), of("se", "pool2"), of("se", "pool1", reduction=8)]
    different += [of("cbam_channel", "pool1"), of("cbam_spatial", "pool1", kernel_size=3)]
    assert len(set(different)) == len(different)


def test_the_fingerprint_is_the_same_on_paper_and_built() -> None:
    v = variant("cbam", "pool1")
    assert fingerprint(build(v, 10, 32, seed=5), 32) == describe(v, 10, 32).fingerprint


@pytest.mark.parametrize(
    "name",
    ["uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_",
     "kaiming_normal_", "orthogonal_", "sparse_"],
)  # fmt: skip
def test_an_outline_draws_no_weights(name: str) -> None:
    """torch gives some of these to a mode as a whole, and draws where the mode sees nothing."""
    draw = partial(getattr(init, name), **({"sparsity": 0.5} if name == "sparse_" else {}))
    with Uninitialised():
        given, named = draw(torch.ones(6, 4)), draw(tensor=torch.nn.Parameter(torch.ones(6, 4)))
    assert not given.any()
    assert not named.any()
    assert draw(torch.ones(6, 4)).any()


def test_an_outline_leaves_the_generator_as_it_was() -> None:
    state = torch.get_rng_state()
    with Uninitialised():
        torch.nn.Conv2d(3, 8, 3)
        torch.nn.Linear(8, 8)
        torch.nn.Embedding(8, 8)
        torch.nn.MultiheadAttention(8, 2)
        torch.nn.LSTM(8, 8)
    assert torch.equal(torch.get_rng_state(), state)
