"""Attention that training never moved is told from attention that learned."""

from __future__ import annotations

import torch
from torch import nn

from ablate.model import build
from ablate.study import Variant
from ablate.train.unmoved import attention_values, unmoved_attention

SE = Variant("cbam_cnn", "se", "pool*", (("reduction", 4),))


def nets() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    net = build(SE, 10, 32, seed=1)
    return net, attention_values(net)


def attention_of(net: nn.Module, path: str) -> list[nn.Parameter]:
    return [p for n, p in net.named_parameters() if n.startswith(f"{path}.attention.")]


def test_a_network_that_was_not_trained_has_moved_nowhere() -> None:
    assert unmoved_attention(*nets()) == ("pool1.attention", "pool2.attention", "pool3.attention")


def test_one_value_that_moved_is_enough_and_only_for_its_module() -> None:
    trained, initial = nets()
    with torch.no_grad():
        attention_of(trained, "pool2")[0].view(-1)[0] += 1e-3
    assert unmoved_attention(trained, initial) == ("pool1.attention", "pool3.attention")


def test_weight_decay_alone_is_no_movement() -> None:
    trained, initial = nets()
    with torch.no_grad():
        for parameter in attention_of(trained, "pool1"):
            for _ in range(500):
                parameter.mul_(1 - 1e-4)
        for parameter in attention_of(trained, "pool3"):
            parameter.add_(1e-3 * torch.randn_like(parameter))
            parameter.mul_(0.95)
    assert unmoved_attention(trained, initial) == ("pool1.attention", "pool2.attention")


def test_what_cannot_be_trained_is_not_told() -> None:
    trained, initial = nets()
    for parameter in attention_of(trained, "pool1"):
        parameter.requires_grad_(False)
    assert unmoved_attention(trained, initial) == ("pool2.attention", "pool3.attention")
