"""The rule of each operator against `FlopCounterMode`, or a closed formula where that knows none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from ablate.measure.operations import OperationCounter
from ablate.measure.rules import ELEMENTWISE, FREE, MACS

aten = torch.ops.aten
Arguments = tuple[Any, ...]
Case = tuple[Any, Arguments]


def z(*shape: int) -> torch.Tensor:
    return torch.zeros(shape)


def on_meta(*shape: int) -> torch.Tensor:
    """For the operators of a GPU."""
    return torch.zeros(shape, device="meta")


def name(value: Any) -> str:
    """A case's name: an operator, the shapes of its tensors, a number."""
    if not isinstance(value, tuple):
        return str(value)
    return " ".join("x".join(map(str, t.shape)) for t in value if isinstance(t, torch.Tensor))


def conv(
    image: torch.Tensor,
    weight: torch.Tensor,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    transposed: bool = False,
) -> Arguments:
    """The arguments of aten.convolution."""
    settings = [[value] * (image.ndim - 2) for value in (stride, padding, dilation)]
    return (image, weight, None, *settings, transposed, [0] * (image.ndim - 2), groups)


CONVOLUTIONS = [
    conv(z(2, 4, 10), z(6, 4, 3)),
    conv(z(2, 4, 9, 7), z(6, 4, 3, 2), stride=2, padding=1),
    conv(z(3, 8, 9, 7), z(6, 4, 3, 3), dilation=2, groups=2),
    conv(z(1, 8, 9, 9), z(8, 1, 5, 5), padding=2, groups=8),
    conv(z(2, 3, 5, 6, 7), z(4, 3, 2, 3, 1), stride=2),
    conv(z(2, 4, 10), z(4, 6, 3), stride=3, transposed=True),
    conv(z(1, 4, 10, 10), z(4, 8, 2, 2), stride=2, transposed=True),
    conv(z(3, 8, 5, 7), z(8, 3, 3, 2), stride=2, padding=1, groups=2, transposed=True),
    conv(z(1, 8, 6, 6), z(8, 1, 3, 3), dilation=2, groups=8, transposed=True),
    conv(z(2, 3, 4, 5, 6), z(3, 4, 2, 3, 1), transposed=True),
]
PRODUCTS: list[Case] = [
    (aten.mm, (z(3, 4), z(4, 5))),
    (aten.bmm, (z(2, 3, 4), z(2, 4, 5))),
    (aten.addmm, (z(5), z(3, 4), z(4, 5))),
    (aten.baddbmm, (z(2, 3, 5), z(2, 3, 4), z(2, 4, 5))),
]
# More queries than keys; two widths, where the kernel takes them; keys that heads share.
HEADS = (on_meta(2, 6, 5, 8), on_meta(2, 6, 7, 8), on_meta(2, 6, 7, 8))
ATTENTION: list[Case] = [
    (aten._scaled_dot_product_flash_attention_for_cpu, (z(2, 6, 5, 8), z(2, 6, 7, 8), z(2, 6, 7, 8))),
    (aten._scaled_dot_product_flash_attention_for_cpu, (z(1, 6, 5, 8), z(1, 2, 7, 8), z(1, 2, 7, 8))),
    (aten._scaled_dot_product_flash_attention, HEADS),
    (aten._scaled_dot_product_cudnn_attention, (*HEADS, None, False)),
    (aten._scaled_dot_product_efficient_attention, (*HEADS[:2], on_meta(2, 6, 7, 4), None, False)),
]  # fmt: skip
AGREED: list[Case] = [
    *((aten.convolution, arguments) for arguments in CONVOLUTIONS),
    *((aten._convolution, (*arguments, False, False, True, True)) for arguments in CONVOLUTIONS),
    *PRODUCTS,
    *ATTENTION,
]


@pytest.mark.parametrize(("operator", "arguments"), AGREED, ids=name)
def test_flop_counter_agrees(operator: Any, arguments: Arguments) -> None:
    """It counts a multiply-add as two operations."""
    with FlopCounterMode(display=False) as theirs, OperationCounter() as ours:
        operator(*arguments)
    assert ours.total.uncounted == frozenset()
    assert 0 < 2 * ours.macs == theirs.get_total_flops()


# What flop_counter counts as 0, for want of a rule: of mv and dot, of the ones in place and the
# pieces of layers. For _slow_conv2d_forward its rule fails.
CLOSED: list[tuple[Any, Arguments, int]] = [
    (aten.mv, (z(3, 4), z(4)), 3 * 4),
    (aten.addmv, (z(3), z(3, 4), z(4)), 3 * 4),
    (aten.addmv_, (z(3), z(3, 4), z(4)), 3 * 4),
    (aten.dot, (z(7), z(7)), 7),
    (aten.vdot, (z(7), z(7)), 7),
    (aten.addr, (z(3, 4), z(3), z(4)), 3 * 4),
    (aten.addr_, (z(3, 4), z(3), z(4)), 3 * 4),
    (aten.addmm_, (z(3, 5), z(3, 4), z(4, 5)), 3 * 4 * 5),
    (aten._addmm_activation, (z(5), z(3, 4), z(4, 5)), 3 * 4 * 5),
    (aten.addbmm, (z(3, 5), z(2, 3, 4), z(2, 4, 5)), 2 * 3 * 4 * 5),
    (aten.addbmm_, (z(3, 5), z(2, 3, 4), z(2, 4, 5)), 2 * 3 * 4 * 5),
    (aten.baddbmm_, (z(2, 3, 5), z(2, 3, 4), z(2, 4, 5)), 2 * 3 * 4 * 5),
    (aten.conv_tbc, (z(7, 2, 4), z(3, 4, 5), z(5)), 5 * 2 * 5 * 3 * 4),
    (aten._slow_conv2d_forward, (z(2, 4, 9, 7), z(6, 4, 3, 2), [3, 2], None, [1, 1], [0, 0]),
     2 * 6 * 7 * 6 * 4 * 3 * 2),
    (aten._scaled_dot_product_fused_attention_overrideable, HEADS, 2 * 6 * 5 * 7 * (8 + 8)),
]  # fmt: skip


@pytest.mark.parametrize(("operator", "arguments", "macs"), CLOSED, ids=name)
def test_macs_by_closed_formula(operator: Any, arguments: Arguments, macs: int) -> None:
    with OperationCounter() as ours:
        operator(*arguments)
    assert (ours.macs, ours.uncounted) == (macs, set())


# Convolutions by other names, that need a device or a build of PyTorch: each has image and weight first.
PLAIN = (aten.cudnn_convolution, aten.mkldnn_convolution)
TRANSPOSED = (aten.cudnn_convolution_transpose,)
EITHER = (aten.convolution_overrideable,)


@pytest.mark.parametrize("arguments", CONVOLUTIONS, ids=name)
def test_a_convolution_by_another_name_counts_the_same(arguments: Arguments) -> None:
    output = aten.convolution(*arguments)
    theirs = flop_registry[aten.convolution](*arguments, out_val=output)
    for operator in EITHER:
        assert 2 * MACS[operator](arguments, output) == theirs
    for operator in TRANSPOSED if arguments[6] else PLAIN:
        assert 2 * MACS[operator](arguments[:2], output) == theirs


PIECES = (aten._trilinear, aten.mkldnn_rnn_layer)  # of nn.Bilinear and nn.LSTM


def test_every_rule_is_held_against_something() -> None:
    held = {case[0] for case in (*AGREED, *CLOSED)}
    assert held | {*PLAIN, *TRANSPOSED, *EITHER, *PIECES} == set(MACS)


def test_a_bilinear_layer_is_two_products() -> None:
    x, y, weight = z(3, 4), z(3, 6), z(5, 4, 6)
    with OperationCounter() as ours:
        F.bilinear(x, y, weight)
    with FlopCounterMode(display=False) as theirs:
        torch.einsum("noj,nj->no", torch.einsum("ni,oij->noj", x, weight), y)
    assert (2 * ours.macs, ours.uncounted) == (theirs.get_total_flops(), set())


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_count_the_same_whoever_computes_them(kind: type[nn.RNNBase]) -> None:
    """oneDNN's one operator has no rule in flop_counter; on another device there are plain products."""
    net = kind(8, 6, num_layers=2, bidirectional=True).eval()
    with torch.no_grad(), OperationCounter() as ours:
        net(z(7, 2, 8))
    with torch.no_grad(), FlopCounterMode(display=False) as theirs:
        net.to("meta")(on_meta(7, 2, 8))
    assert (2 * ours.macs, ours.uncounted) == (theirs.get_total_flops(), set())


def test_no_operator_has_two_rules() -> None:
    assert len(MACS.keys() | ELEMENTWISE | FREE) == len(MACS) + len(ELEMENTWISE) + len(FREE)


IMAGE, SEQUENCE, VOLUME = (2, 8, 12, 10), (2, 8, 12), (2, 8, 6, 5, 4)
LAYERS = [
    *((layer, IMAGE) for layer in (
        nn.ReLU(), nn.ReLU6(True), nn.LeakyReLU(inplace=True), nn.PReLU(), nn.RReLU(), nn.ELU(True),
        nn.SELU(), nn.CELU(), nn.GELU(), nn.SiLU(True), nn.Mish(), nn.GLU(1), nn.Sigmoid(), nn.Tanh(),
        nn.LogSigmoid(), nn.Hardsigmoid(True), nn.Hardswish(), nn.Hardtanh(), nn.Hardshrink(),
        nn.Softshrink(), nn.Tanhshrink(), nn.Softplus(), nn.Softsign(), nn.Threshold(0.1, 0.0),
        nn.Softmax(1), nn.LogSoftmax(1), nn.Dropout(), nn.BatchNorm2d(8), nn.InstanceNorm2d(8),
        nn.BatchNorm2d(8, track_running_stats=False), nn.GroupNorm(2, 8), nn.LayerNorm(10),
        nn.RMSNorm(10), nn.LocalResponseNorm(3), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.LPPool2d(2, 2),
        nn.AdaptiveMaxPool2d(2), nn.AdaptiveAvgPool2d(2), nn.PixelShuffle(2), nn.PixelUnshuffle(2),
        nn.ChannelShuffle(2), nn.Unfold(2), nn.Flatten(), nn.ZeroPad2d(1), nn.ReflectionPad2d(1),
        nn.ReplicationPad2d(1), nn.CircularPad2d(1), nn.Upsample(scale_factor=2),
        nn.Upsample(scale_factor=2, mode="nearest-exact"), nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Upsample(scale_factor=2, mode="bicubic"),
    )),
    *((layer, SEQUENCE) for layer in (
        nn.MaxPool1d(2), nn.AvgPool1d(2), nn.AdaptiveMaxPool1d(2), nn.AdaptiveAvgPool1d(2),
        nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=2, mode="linear"),
    )),
    *((layer, VOLUME) for layer in (
        nn.MaxPool3d(2), nn.AvgPool3d(2), nn.AdaptiveMaxPool3d(2), nn.AdaptiveAvgPool3d(2),
        nn.BatchNorm3d(8), nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=2, mode="trilinear"),
    )),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=str)
def test_a_layer_without_products_has_no_macs_and_no_operator_without_a_rule(
    layer: nn.Module, shape: tuple[int, ...]
) -> None:
    with torch.no_grad(), OperationCounter() as ours:
        layer.eval()(z(*shape))
    assert (ours.macs, ours.uncounted) == (0, set())
