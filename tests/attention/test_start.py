"""Attention that starts as the identity: the network is what it was without, to the last bit."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from ablate.attention import ATTENTION, KERNELS, complete, use_kernels
from ablate.errors import OptionError
from ablate.measure.architecture import describe
from ablate.model import build
from ablate.network.places import find_places
from ablate.study import Variant
from ablate.study.position import AFTER, BEFORE, escape

CANNOT = {"random_gate": "its weights are drawn once and never trained"}
"""Families that cannot start as the identity, and why."""
FAMILIES = [name for name in ATTENTION if name not in CANNOT]
CHANNELS, REDUCTION, CLASSES = 16, 4, 10
FAST = ("torchvision:squeezenet1_1", 64)
SLOW = [
    ("torchvision:resnet18", 64),
    ("torchvision:mobilenet_v3_small", 64),
    ("torchvision:densenet121", 64),
    ("torchvision:efficientnet_b0", 64),
    ("torchvision:convnext_tiny", 64),
]


def options(name: str) -> dict[str, Any]:
    return {"reduction": REDUCTION} if name in ("se", "cbam", "cbam_channel") else {}


def make(name: str, start: str) -> nn.Module:
    torch.manual_seed(0)
    return ATTENTION[name](CHANNELS, **options(name), start=start)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", FAMILIES)
def test_it_begins_as_the_identity_to_the_bit(name: str, kernel: str, dtype: torch.dtype) -> None:
    module = make(name, "identity")
    module.kernel = kernel
    x = torch.randn(3, CHANNELS, 6, 5).to(dtype).contiguous(memory_format=torch.channels_last)
    for mode in (True, False):
        module.train(mode)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            assert torch.equal(module(x), x)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "identity"])
def test_it_learns_from_there_and_draws_what_the_papers_start_draws(name: str) -> None:
    module, paper = make(name, "identity"), make(name, "paper")
    same = [torch.equal(a, b) for a, b in zip(module.parameters(), paper.parameters(), strict=True)]
    assert not all(same)
    x = torch.randn(4, CHANNELS, 6, 5)
    assert not torch.equal(paper(x), x)
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        module(x).square().sum().backward()
        optimizer.step()
    assert not any(
        torch.equal(a, b)
        for a, b in zip(module.parameters(), make(name, "identity").parameters(), strict=True)
    ), "every parameter is trained"
    assert (module(x).abs() > x.abs()).any() or (module(x).abs() < x.abs()).any()


@pytest.mark.parametrize("name", CANNOT)
def test_a_family_that_cannot_says_why(name: str) -> None:
    with pytest.raises(OptionError, match=CANNOT[name]):
        make(name, "identity")


@pytest.mark.parametrize("name", ATTENTION)
def test_another_start_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match="start must be one of paper, identity, not 'zero'"):
        make(name, "zero")


def test_a_start_is_another_network_and_the_papers_changes_no_key() -> None:
    given = (("reduction", 4),)
    paper, said, other = (
        describe(complete(Variant("cbam_cnn", "se", "pool3", (*given, *more))), CLASSES, 32)
        for more in ((), (("start", "paper"),), (("start", "identity"),))
    )
    assert paper.fingerprint == said.fingerprint == "7ba1d7d90a620290"
    assert other.fingerprint != paper.fingerprint
    variant = complete(Variant("cbam_cnn", "se", "pool3", (*given, ("start", "identity"))))
    assert variant.name == "se(pool3, r=4, start=identity)"


def logits(net: nn.Module, size: int, *, train: bool) -> torch.Tensor:
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in net.named_buffers()}
    torch.manual_seed(1)
    with torch.no_grad():
        found: torch.Tensor = net.train(train)(images)
        for name, value in net.named_buffers():  # batch norm notes what it has seen
            value.copy_(before[name])
    return found


@cache
def plain_logits(backbone: str, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of a network without attention, to predict and to train."""
    net = build(Variant(backbone), CLASSES, size, 1)
    return logits(net, size, train=False), logits(net, size, train=True)


def check_everywhere(backbone: str, size: int, name: str) -> None:
    for how in (AFTER, BEFORE):
        places = find_places(backbone, CLASSES, size, how)
        paths = [p for p, at in places.items() if not at.problem and at.shape[0] >= REDUCTION]
        prefix = "" if how == AFTER else "before:"
        position = "+".join(f"{prefix}{escape(path)}" for path in paths)
        given = (*options(name).items(), ("start", "identity"))
        net = build(complete(Variant(backbone, name, position, given)), CLASSES, size, 1)
        assert len(paths) > 10
        for kernels in ({}, {name: "fused"} if name in ("se", "cbam") else {}):
            use_kernels(net, kernels)
            for train, expected in enumerate(plain_logits(backbone, size)):
                found = logits(net, size, train=bool(train))
                assert (found - expected).abs().max().item() == 0, (how, kernels, train)


@pytest.mark.parametrize("name", FAMILIES)
def test_no_logit_differs_with_attention_at_every_place(name: str) -> None:
    check_everywhere(*FAST, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(("backbone", "size"), SLOW)
def test_no_logit_differs_in_five_networks(backbone: str, size: int, name: str) -> None:
    check_everywhere(backbone, size, name)
