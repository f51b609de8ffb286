"""Attention before a module and in its place, in own networks of many kinds; and what other tools see."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import message
from torch import nn
from torch.fx.experimental.optimization import fuse
from torchvision.ops import SqueezeExcitation

from ablate.attention import ATTENTION, complete
from ablate.attention.base import Attention
from ablate.errors import PlacementError
from ablate.measure.activations import capture
from ablate.measure.architecture import describe
from ablate.model import build, build_outline, plain_network
from ablate.network.places import find_own_attention, find_places, list_places
from ablate.placement import find_targets
from ablate.report.cost.families import attended_module, is_attention
from ablate.study import Variant
from ablate.study.position import BEFORE
from ablate.system.hardware.machine import prepare_machine

SIZE = 32

SOURCE = '''
import torch
from torch import nn
from torch.nn import functional as F

def conv(i, o, s=1): return nn.Sequential(nn.Conv2d(i, o, 3, s, 1), nn.BatchNorm2d(o), nn.ReLU(True))

class SELayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.fc = nn.Conv2d(c, c, 1)
    def forward(self, x): return x * self.fc(x.mean((2, 3), keepdim=True)).sigmoid()

class Block(nn.Module):
    def __init__(self, i, o, s):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, s, 1), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1), nn.BatchNorm2d(o)
        self.se = SELayer(o) if s == 2 else nn.Identity()
        self.shortcut = nn.Sequential(nn.Conv2d(i, o, 1, s)) if s == 2 else nn.Sequential()
    def forward(self, x):
        return F.relu(self.se(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))) + self.shortcut(x))

class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 1)
    def forward(self, x, scale=1.0, *more): return self.conv(x) * scale + sum(more)

class Closed(nn.Conv2d):
    def add_module(self, name, module): raise RuntimeError("closed")

class Scales(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem, self.scaled, self.fc = Closed(3, 16, 3), Scaled(), nn.Linear(16, num_classes)
    def forward(self, x): return self.fc(self.scaled(self.stem(x), 3.0, 0.5).mean((2, 3)))

class ResNet(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.layer1 = nn.Sequential(Block(3, 16, 2), Block(16, 16, 1))
        self.layer2 = nn.Sequential(Block(16, 16, 2), Block(16, 16, 1))
        self.fc = nn.Linear(16, num_classes)
    def forward(self, x): return self.fc(self.layer2(self.layer1(x)).mean((2, 3)))

class Last(nn.Module):
    """channels last inside"""
    def __init__(self):
        super().__init__()
        self.norm, self.fc = nn.LayerNorm(16), nn.Linear(16, 16)
    def forward(self, x): return self.fc(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2) + x

class Fixed(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.pos = nn.Parameter(torch.zeros(1, 3, 32, 32))
        self.a, self.last, self.b = conv(3, 16), Last(), conv(16, 16)
        self.act, self.mixed, self.fc = nn.ReLU(), nn.Identity(), nn.Linear(16, classes)
    def forward(self, x):
        x = self.act(self.b(self.last(self.a(x + self.pos))))
        return self.fc(self.mixed(x.transpose(1, 3)).mean((1, 2)))

class Patches(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.a, self.b, self.fc = conv(3, 16), conv(16, 16, 2), nn.Linear(64, classes)
    def forward(self, x):
        n = x.shape[0]
        x = x.unfold(2, 16, 16).unfold(3, 16, 16).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, 16, 16)
        return self.fc(self.b(self.a(x)).mean((2, 3)).reshape(n, -1))

class Keys(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.ops = nn.ModuleDict({"1<-0": nn.Conv2d(3, 16, 1), "conv+bn": nn.Conv2d(16, 16, 1),
                                  "max[3]": nn.MaxPool2d(3, 1, 1)})
        self.fc = nn.Linear(16, classes)
    def forward(self, x):
        for op in self.ops.values(): x = op(x)
        return self.fc(x.mean((2, 3)))

class Skip(nn.Module):
    """a block that runs only if a gate opens"""
    def __init__(self, classes):
        super().__init__()
        self.a, self.block, self.gate = conv(3, 16), conv(16, 16), nn.Linear(16, 1)
        nn.init.constant_(self.gate.bias, -100.0)
        self.fc = nn.Linear(16, classes)
    def forward(self, x):
        x = self.a(x)
        if self.gate(x.mean((2, 3))).sum() > 0: x = self.block(x)
        return self.fc(x.mean((2, 3)))

class Keyword(Keys):
    def forward(self, x):
        for op in self.ops.values(): x = op(input=x)
        return self.fc(x.mean((2, 3)))

class Hooked(nn.Module):
    """features by a hook of its own, as U-Nets take them"""
    def __init__(self, classes):
        super().__init__()
        self.a, self.fc, self.seen = nn.Conv2d(3, 16, 1), nn.Linear(16, classes), []
        self.a.register_forward_hook(self.see)
    def see(self, module, inputs, output): self.seen = [output]
    def forward(self, x):
        self.a(x)
        return self.fc(self.seen[0].mean((2, 3)))
'''


@pytest.fixture(autouse=True)
def nets(own_module: Callable[[str, str], None]) -> None:
    own_module("insertednets", SOURCE)


def variant(name: str, attention: str, position: str, **options: Any) -> Variant:
    backbone = name if ":" in name else f"insertednets:{name}"
    options = {"reduction": 4, **options} if attention == "se" else options
    return complete(Variant(backbone, attention, position, tuple(options.items())))


def paths(name: str, position: str) -> list[str]:
    return [target.attached for target in find_targets(variant(name, "se", position), 10, SIZE)]


def test_attention_before_a_module_acts_on_what_goes_in() -> None:
    """SE-PRE: the branch gets a gated input, the shortcut does not."""
    se_pre = variant("ResNet", "se", "before:layer1.1.conv1")
    assert se_pre.name == "se(before:layer1.1.conv1, r=4)"
    net = build(se_pre, 10, SIZE, seed=1).eval()
    block, x = net.layer1[1], torch.randn(2, 16, 8, 8)
    gated = block.conv1.attention_before(x)
    branch = torch.relu(block.bn1(nn.functional.conv2d(
        gated, block.conv1.weight, block.conv1.bias, padding=1)))  # fmt: skip
    torch.testing.assert_close(block(x), torch.relu(block.bn2(block.conv2(branch)) + x))
    plain = build(Variant("insertednets:ResNet"), 10, SIZE, seed=1)
    assert all(torch.equal(net.state_dict()[k], v) for k, v in plain.state_dict().items())


def test_what_else_a_module_is_called_with_stays() -> None:
    net = build(variant("Scales", "se", "before:scaled"), 10, SIZE, seed=1).eval()
    x = torch.randn(2, 16, 8, 8)
    conv, gated = net.scaled.conv, net.scaled.attention_before(x)
    torch.testing.assert_close(net.scaled(x, 3.0, 0.5), conv(gated) * 3.0 + 0.5)
    torch.testing.assert_close(net.scaled(x), conv(gated))


def test_a_module_that_takes_no_other_is_refused_in_one_line() -> None:
    said = message(PlacementError, lambda: build_outline(variant("Scales", "se", "stem"), 10, SIZE))
    assert said.startswith("attention after 'stem' cannot be put there: RuntimeError: closed")


def test_before_and_after_one_sequential_are_its_first_and_last_children() -> None:
    net = build(variant("ResNet", "se", "before:layer2+layer2"), 10, SIZE, seed=1)
    assert list(net.layer2._modules) == ["attention_before", "0", "1", "attention"]
    assert net(torch.zeros(2, 3, SIZE, SIZE)).shape == (2, 10)


def test_each_part_of_a_position_has_its_own_option() -> None:
    both = variant("ResNet", "se", "before:layer1.1.conv1+layer1.1.bn2", reduction="4+8")
    net = build(both, 10, SIZE, seed=1)
    assert net.layer1[1].conv1.attention_before.fc1.out_features == 4
    assert net.layer1[1].bn2.attention.fc1.out_features == 2


def test_attention_takes_the_place_of_the_backbones_own() -> None:
    """A glob that names some of it means nothing else: the Identity of other blocks stays."""
    assert paths("ResNet", "replace:layer*.*.se") == [
        "layer1.0.se.attention",
        "layer2.0.se.attention",
    ]
    replaced = variant("ResNet", "eca", "replace:layer*.*.se")
    net = build(replaced, 10, SIZE, seed=1)
    assert [type(net.layer1[i].se).__name__ for i in (0, 1)] == ["Sequential", "Identity"]
    plain, found = (describe(v, 10, SIZE) for v in (Variant("insertednets:ResNet"), replaced))
    own = 2 * (16 * 16 + 16)
    assert found.parameters == plain.parameters - own + found.attention_parameters
    own_macs = 2 * 16 * 16
    assert found.macs == plain.macs - own_macs + 2 * (16 * 3)
    assert paths("ResNet", "replace:layer1.1.se") == ["layer1.1.se.attention"], "named it is taken"


def test_mobilenets_se_is_named_and_replaced() -> None:
    backbone = "torchvision:mobilenet_v3_small"
    [(kind, own)] = find_own_attention(backbone, 10, SIZE).items()
    assert (kind, len(own)) == ("SE", 9)
    cbam = variant(backbone, "cbam", "replace:features.*.block.*", reduction=4)
    net = build_outline(cbam, 10, SIZE)
    assert not any(isinstance(module, SqueezeExcitation) for module in net.modules())
    assert sum(type(module).__name__ == "CBAM" for module in net.modules()) == 9


def test_other_networks_have_no_attention_of_their_own() -> None:
    assert find_own_attention("torchvision:resnet18", 10, SIZE) == {}
    assert find_own_attention("insertednets:ResNet", 10, SIZE) == {
        "SE": ["layer1.0.se", "layer2.0.se"]
    }


@pytest.mark.parametrize(
    ("name", "position", "said"),
    [
        ("ResNet", "replace:layer1.0.conv1", "gets (1, 3, 32, 32) and gives (1, 16, 16, 16): attention"),
        ("ResNet", "replace:layer1+layer1.0.bn1", "'layer1' gets (1, 3, 32, 32) and gives"),
        ("ResNet", "replace:layer1.0.se+layer1.0.se.fc", "'layer1.0.se' is replaced, so there can be no"),
        ("ResNet", "replace:layer1.1.se+before:layer1.1.se", "no attention before 'layer1.1.se'"),
        ("ResNet", "before:layer9", "'before:layer9' matches no module (did you mean 'layer2'?); "
                                    "attention can go before: layer1, "),
        ("ResNet", "before:fc", "'fc' gets (1, 16), not (N, C, H, W)"),
        ("ResNet", "replace:layer9", "attention can take the place of: "),
        ("Keyword", "before:ops.1<-0", "'ops.1<-0' gets no tensor, not (N, C, H, W)"),
        ("Keys", "ops.max[3]", "'ops.max[3]' matches no module (did you mean 'ops.max[[]3]'?); "
                               "attention can go after: ops.1<-0, ops.conv[+]bn, ops.max[[]3]"),
        ("Fixed", "last.norm", "gives (1, 32, 32, 16) with channels that are not known to be second"),
        ("Fixed", "last.fc", "with channels that are not known to be second"),
        ("Fixed", "mixed", "with channels that are not known to be second"),
    ],
)  # fmt: skip
def test_what_cannot_carry_attention_has_a_reason(name: str, position: str, said: str) -> None:
    assert said in message(PlacementError, lambda: paths(name, position))


@pytest.mark.parametrize(
    ("name", "position", "count"),
    [
        ("Fixed", "a+a.0+a.2+b+act+last", 6),
        ("Fixed", "before:b+before:last+before:act", 3),
        ("Patches", "a+a.0+a.1+a.2+b", 5),
        ("Keys", 'ops."max[3]"+ops.conv[+]bn+ops.1<-0', 3),
        ("ResNet", "before:layer*.*.conv1+layer*.*.shortcut+before:layer2", 9),
    ],
)
def test_places_that_once_could_not_be_named(name: str, position: str, count: int) -> None:
    assert len(paths(name, position)) == count
    build_outline(variant(name, "identity", position), 10, SIZE)


@pytest.mark.parametrize("name", ["Keys", "Fixed", "ResNet"])
def test_every_place_that_is_listed_can_be_pasted(name: str) -> None:
    for how, prefix in (("after", ""), (BEFORE, "before:"), ("replace", "replace:")):
        listed = list_places(find_places(f"insertednets:{name}", 10, SIZE, how)).split(", ")
        for place in listed:
            assert len(paths(name, f"{prefix}{place}")) == 1


def test_operations_are_those_of_one_image_with_all_its_patches() -> None:
    plain = describe(Variant("insertednets:Patches"), 10, SIZE)
    found = describe(variant("Patches", "se", "a"), 10, SIZE)
    assert found.macs == plain.macs + 4 * (2 * 16 * 4)


def test_a_block_that_no_black_image_runs_is_named() -> None:
    found = describe(Variant("insertednets:Skip"), 10, SIZE)
    assert found.uncounted == ("block (not run on a black image)",)
    assert describe(Variant("insertednets:Keys"), 10, SIZE).uncounted == ()


def test_a_hook_of_the_networks_own_sees_what_attention_gives() -> None:
    net = build(variant("Hooked", "random_gate", "a"), 10, SIZE, seed=1)
    x = torch.randn(2, 3, 4, 4)
    net(x)
    torch.testing.assert_close(
        net.seen[0], net.a.attention(torch.conv2d(x, net.a.weight, net.a.bias))
    )


def test_attention_before_and_in_place_of_a_module_can_be_looked_into() -> None:
    position = "before:layer1.1.conv1+replace:layer1.0.se"
    net = build(variant("ResNet", "se", position), 10, SIZE, seed=1)
    gates = {gate.path: gate for gate in capture(net, torch.randn(2, 3, SIZE, SIZE)).gates}
    assert set(gates) == {"layer1.1.conv1.attention_before", "layer1.0.se.attention"}
    assert all(
        gate.channel is not None and gate.channel.shape == (2, 16) for gate in gates.values()
    )
    assert all(is_attention(path) for path in gates)
    assert [attended_module(path) for path in sorted(gates)] == [
        "layer1.0.se",
        "before layer1.1.conv1",
    ]


PLACES = ["layer*.*.bn2", "layer1+layer*.*.shortcut", "before:layer*.*.conv2+replace:layer1.0.se"]
"""After a leaf, after blocks and Sequentials, before and in place of modules."""


@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated", "ignore:.*TracerWarning")
@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.slow
def test_other_tools_see_attention_wherever_it_is(attention: str) -> None:
    x = torch.randn(2, 3, SIZE, SIZE)
    for position in PLACES:
        net = build(variant("ResNet", attention, position), 10, SIZE, seed=1).eval()
        with torch.no_grad():
            y = net(x)
            plain = plain_network(net)
            twins = {
                "script": torch.jit.script(net),
                "trace": torch.jit.trace(net, x),
                "fx": torch.fx.symbolic_trace(net),
                "pickle": pickle.loads(pickle.dumps(copy.deepcopy(net))),
                "plain": plain,
                "plain, script": torch.jit.script(plain),
                "plain, fx": torch.fx.symbolic_trace(plain),
                "plain, fused": fuse(plain),
            }
            for name, twin in twins.items():
                torch.testing.assert_close(twin(x), y, msg=f"{name} of {attention} at {position}")


@pytest.mark.slow
@pytest.mark.parametrize(("attention", "position"), [("se", PLACES[0]), ("cbam", PLACES[2])])
def test_a_network_with_attention_can_be_exported(attention: str, position: str) -> None:
    prepare_machine("cpu", "fp32", deterministic=False)  # as in a process that trains
    x = torch.randn(2, 3, SIZE, SIZE)
    net = build(variant("ResNet", attention, position), 10, SIZE, seed=1).eval()
    torch.testing.assert_close(torch.export.export(net, (x,)).module()(x), net(x))


def test_a_plain_network_has_no_hook_and_leaves_the_other_as_it_was() -> None:
    net = build(variant("ResNet", "cbam", "layer*.*.bn2+before:layer2.*.conv1"), 10, SIZE, seed=1)
    before = list(net.state_dict())
    plain = plain_network(net)
    assert list(net.state_dict()) == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in plain.modules())
    assert sum(isinstance(m, Attention) for m in plain.modules()) == sum(
        isinstance(m, Attention) for m in net.modules()
    )
    assert "layer1.0.bn2.module.weight" in plain.state_dict()
