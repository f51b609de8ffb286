"""Several kinds of attention in one network: each at its place, as it is alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from conftest import message, small_plan

from ablate.attention import ATTENTION, OwnAttention, complete
from ablate.drive.together import group, structures_of
from ablate.errors import OptionError, PlacementError
from ablate.measure.architecture import describe
from ablate.measure.contract import subject_of
from ablate.model import build, build_outline, fingerprint, own_calls
from ablate.study import Option, Variant

OURS = "cbam_cnn(width=0.25)"
SIZE = 16
SOURCE = """
from torch import nn

class Gate(nn.Module):
    def __init__(self, channels, reduction=4, **more):
        super().__init__()
        self.given = (reduction, more)
        self.fc = nn.Conv2d(channels, channels // reduction, 1)
        self.up = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x):
        return x * self.up(self.fc(x)).sigmoid()
"""


def made(attention: str, position: str, **options: Option) -> Variant:
    return complete(Variant(OURS, attention, position, tuple(options.items())))


@pytest.mark.parametrize(("first", "second"), [*itertools.permutations(ATTENTION, 2)])
def test_every_pair_of_kinds_is_built_as_each_is_alone(first: str, second: str) -> None:
    variant = made(f"{first}+{second}", "pool2+pool3")
    net = build(variant, 10, SIZE, seed=1)
    assert type(net.pool2.attention) is ATTENTION[first]
    assert type(net.pool3.attention) is ATTENTION[second]
    state = net.state_dict()
    alone = [made(first, "pool2"), made(second, "pool3")]
    for each in alone:
        for name, value in build(each, 10, SIZE, seed=1).state_dict().items():
            assert torch.equal(state[name], value), name
    assert fingerprint(net, SIZE) == fingerprint(build_outline(variant, 10, SIZE), SIZE)
    parts = [describe(each, 10, SIZE).attention_parameters for each in alone]
    assert describe(variant, 10, SIZE).attention_parameters == sum(parts)
    net(torch.randn(4, 3, SIZE, SIZE)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_values_by_part_reach_the_parts_that_have_the_option() -> None:
    options: dict[str, Option] = {"reduction": "2+4", "kernel_size": "5+3"}
    net = build(made("se+eca+cbam", "pool1+pool2+pool3", **options), 10, SIZE, 1)
    assert [
        sum(p.numel() for p in m.attention.parameters()) for m in (net.pool1, net.pool2, net.pool3)
    ] == [
        ATTENTION["se"].parameter_count(8, reduction=2),
        ATTENTION["eca"].parameter_count(16, kernel_size=5),
        ATTENTION["cbam"].parameter_count(32, reduction=4, kernel_size=3),
    ]


def test_joined_kinds_are_other_networks_in_another_order_and_the_same_one_turned_round() -> None:
    grid = [
        {"attention": "none"},
        {"attention": ["se+eca", "eca+se"], "position": ["pool1+pool3", "pool3+pool1"], "reduction": 4},
        {"attention": ["se", "se+se"], "position": "pool1+pool3", "reduction": 4},
    ]  # fmt: skip
    plan = small_plan(grid=grid, backbone=OURS)
    assert list(plan.variants) == [
        "none",
        "se+eca(pool1+pool3, r=4, k=0)",
        "se+eca(pool3+pool1, r=4, k=0)",
        "se(pool1+pool3, r=4)",
    ]
    assert plan.aliases == {
        "eca+se(pool3+pool1, r=4, k=0)": "se+eca(pool1+pool3, r=4, k=0)",
        "eca+se(pool1+pool3, r=4, k=0)": "se+eca(pool3+pool1, r=4, k=0)",
    }


@pytest.mark.parametrize("position", ["pool1+pool1", "pool1+pool*"])
def test_a_place_has_one_kind(position: str) -> None:
    said = message(
        PlacementError, lambda: build(made("se+eca", position, reduction=4), 10, SIZE, 1)
    )
    assert said == (
        f"se+eca({position}, r=4, k=0): two parts of its position name 'pool1', with se and with eca: a "
        "place has one kind; name other modules in one of the two"
    )


def test_structures_are_told_apart_by_the_kind_at_each_place() -> None:
    names = [
        ("se+eca", "pool1+pool3"), ("eca+se", "pool3+pool1"), ("se+eca", "pool3+pool1"), ("se", "pool1"),
        ("se", "pool3"),
    ]  # fmt: skip
    variants = [(made(*name), "") for name in names]
    found = structures_of(variants, 10, SIZE)
    assert [each.variant.attention for each in found] == ["se+eca", "se+eca", "se", "se"]
    assert [len(each) for each in group(found)] == [1, 1, 2], "only one kind has its places joined"


def test_a_users_module_is_one_of_the_kinds(own_module: Callable[[str, str], None]) -> None:
    own_module("mixone", SOURCE)
    own_module("mixtwo", SOURCE)
    variant = made("se+mixone:Gate+mixtwo:Gate", "pool1+pool2+pool3", reduction="2+4+8")
    net = build(variant, 10, SIZE, 1)
    assert type(net.pool1.attention) is ATTENTION["se"]
    assert isinstance(net.pool2.attention, OwnAttention)
    assert [net.pool2.attention.module.given, net.pool3.attention.module.given] == [
        (4, {}),
        (8, {}),
    ]
    assert [call.words for call in own_calls([variant], 10, SIZE)] == [
        "mixone:Gate on 16×4×4 (reduction=4)",
        "mixtwo:Gate on 32×2×2 (reduction=8)",
    ]
    mixed = made("cbam+mixone:Gate", "pool1+pool2", reduction="2+4", kernel_size=3, more=5)
    assert build(mixed, 10, SIZE, 1).pool2.attention.module.given == (4, {"more": 5}), (
        "its **kwargs gets nothing that another kind has"
    )


def test_an_edit_of_a_users_module_leaves_the_networks_without_it(
    own_module: Callable[[str, str], None],
) -> None:
    def planned() -> dict[str, str]:
        grid = [
            {"attention": "se", "position": "pool1", "reduction": 4},
            {"attention": ["se+mixed:Gate"], "position": "pool1+pool3", "reduction": 4},
        ]
        plan = small_plan(grid=grid, backbone=OURS, baseline="se(pool1, r=4)")
        return {name: each.fingerprint for name, each in plan.variants.items()}

    own_module("mixed", SOURCE)
    before = planned()
    own_module("mixed", SOURCE.replace("sigmoid()", "sigmoid().square()"))
    after = planned()
    assert [name for name in before if before[name] != after[name]] == [
        "se+mixed:Gate(pool1+pool3, r=4)"
    ]


def test_the_contract_is_of_one_module() -> None:
    said = message(OptionError, lambda: subject_of("se+eca", {}))
    assert said == "se+eca: the contract is of one module: check each kind by itself"
