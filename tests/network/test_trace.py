"""Outlines that share their tensors are as those that were built for themselves."""

from __future__ import annotations

import pytest

from ablate.attention import ATTENTION, complete
from ablate.backbones import make_backbone
from ablate.insert import insert
from ablate.model import build_outline, fingerprint
from ablate.network.trace import forget_outline, make_outline
from ablate.placement import find_targets
from ablate.study import Variant


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "position"),
    [
        ("cbam_cnn(width=0.25)", "pool*"),
        ("torchvision:resnet18(stem=small)", "layer*.*.bn2"),
        ("torchvision:mobilenet_v3_small", "replace:features.*.block.*"),
        ("torchvision:densenet121", "features.transition*.pool"),
        ("torchvision:shufflenet_v2_x0_5", "before:stage*"),
    ],
)
def test_a_copy_with_attention_is_the_network_itself(backbone: str, position: str) -> None:
    variant = complete(Variant(backbone, "eca", position))
    net = make_backbone(backbone, 10, 64)
    for target in find_targets(variant, 10, 64):
        insert(net, target, ATTENTION["eca"](target.shape[0]))
    assert fingerprint(build_outline(variant, 10, 64), 64) == fingerprint(net, 64)
    assert fingerprint(make_outline(backbone, 10, 64), 64) != fingerprint(net, 64), (
        "it is untouched"
    )


def test_copies_share_their_tensors_and_nothing_else() -> None:
    one, other = (make_outline("cbam_cnn", 10, 32) for _ in range(2))
    assert {id(p) for p in one.parameters()} == {id(p) for p in other.parameters()}
    assert {id(m) for m in one.modules()}.isdisjoint({id(m) for m in other.modules()})
    one.register_forward_hook(lambda *_: None)
    assert not other._forward_hooks
    assert other.eval().training is False
    assert one.training
    forget_outline()
    again = make_outline("cbam_cnn", 10, 32)
    assert {id(p) for p in again.parameters()}.isdisjoint({id(p) for p in one.parameters()})
