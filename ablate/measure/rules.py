"""The rule of every operator that is known: multiply-adds, elementwise, or free.

A product with a stored 0, with padding or with a masked place, counts like any other, and so does
one whose result is cropped: a rule knows shapes and no values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import Any

import torch

aten = torch.ops.aten

Arguments = tuple[Any, ...]
Rule = Callable[[Arguments, Any], int]
"""The arguments of an operator and its output → its multiply-adds."""


def _filtered(arguments: Arguments, output: torch.Tensor) -> int:
    """Every output value is a sum over a filter: (C_in / groups) × k_h × k_w products."""
    return int(output.numel() * prod(arguments[1].shape[1:]))


def _spread(arguments: Arguments, _output: torch.Tensor) -> int:
    """Transposed: every input value is multiplied with (C_out / groups) × k_h × k_w weights."""
    return int(arguments[0].numel() * prod(arguments[1].shape[1:]))


def _convolution(arguments: Arguments, output: torch.Tensor) -> int:
    transposed = arguments[6]
    return _spread(arguments, output) if transposed else _filtered(arguments, output)


def _time_first(arguments: Arguments, output: torch.Tensor) -> int:
    """(T, N, C_in) with weights (k, C_in, C_out): k × C_in products for an output value."""
    return int(output.numel() * prod(arguments[1].shape[:2]))


def _product(left: int, right: int) -> Rule:
    """(…, n, m) @ (…, m, p): n × m × p. `left` and `right` are the places of the two factors."""

    def macs(arguments: Arguments, _output: torch.Tensor) -> int:
        return int(arguments[left].numel() * arguments[right].shape[-1])

    return macs


def _once(place: int) -> Rule:
    """(n, m) @ (m): every value of the factor at `place` is used once."""

    def macs(arguments: Arguments, _output: torch.Tensor) -> int:
        return int(arguments[place].numel())

    return macs


def _bilinear(arguments: Arguments, output: torch.Tensor) -> int:
    """xᵀ W y for every output (`nn.Bilinear`): x with a matrix, and what that gives with y."""
    matrix = arguments[1].shape[1:]
    return int(output.numel() * (prod(matrix) + matrix[-1]))


def _recurrent(arguments: Arguments, _output: Any) -> int:
    """One direction of one layer: every step's input and state, each with its matrix."""
    steps, of_input, of_state = arguments[:3]
    return int(steps.numel() // steps.shape[-1] * (of_input.numel() + of_state.numel()))


def _attention(arguments: Arguments, _output: Any) -> int:
    """softmax(Q Kᵀ) V: two products of n × m × (the width of a head)."""
    query, key, value = arguments[:3]
    queries = query.numel() // query.shape[-1]  # over images, heads and places
    return int(queries * key.shape[-2] * (query.shape[-1] + value.shape[-1]))


def _with_in_place(operators: Iterable[Any]) -> dict[Any, Any]:
    """Each operator and the one that overwrites its first argument (`add`, `add_`) → the first."""
    named = {getattr(aten, f"{o.__name__}_", o): o for o in operators}
    return {o: o for o in operators} | named


_RULES: dict[Any, Rule] = {
    aten.convolution: _convolution,
    aten._convolution: _convolution,  # TorchScript's
    aten.convolution_overrideable: _convolution,
    aten.cudnn_convolution: _filtered,
    aten.cudnn_convolution_transpose: _spread,
    aten.mkldnn_convolution: _filtered,
    aten._slow_conv2d_forward: _filtered,
    aten.conv_tbc: _time_first,
    aten.mm: _product(0, 1),
    aten.bmm: _product(0, 1),
    aten.addmm: _product(1, 2),
    aten._addmm_activation: _product(1, 2),
    aten.addbmm: _product(1, 2),
    aten.baddbmm: _product(1, 2),
    aten.addr: _product(1, 2),
    aten.mv: _once(0),
    aten.addmv: _once(1),
    aten.dot: _once(0),
    aten.vdot: _once(0),
    aten._trilinear: _bilinear,
    aten.mkldnn_rnn_layer: _recurrent,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention: _attention,
    aten._scaled_dot_product_efficient_attention: _attention,
    aten._scaled_dot_product_cudnn_attention: _attention,
    aten._scaled_dot_product_fused_attention_overrideable: _attention,
}
MACS: dict[Any, Rule] = {name: _RULES[o] for name, o in _with_in_place(_RULES).items()}

ELEMENTWISE = frozenset(_with_in_place((
    aten.add, aten.sub, aten.rsub, aten.mul, aten.div, aten.neg, aten.exp, aten.log, aten.pow,
    aten.abs, aten.sqrt, aten.rsqrt, aten.reciprocal, aten.erf, aten.sin, aten.cos, aten.sign,
    aten.addcmul, aten.addcdiv, aten.lerp, aten.relu, aten.elu, aten.celu, aten.sigmoid, aten.tanh,
    aten.silu, aten.gelu, aten.glu, aten.leaky_relu, aten._prelu_kernel, aten.rrelu_with_noise,
    aten.threshold, aten.hardtanh, aten.hardswish, aten.hardsigmoid, aten.hardshrink,
    aten.softshrink, aten.softplus, aten.log_sigmoid_forward, aten.mish, aten.clamp, aten.clamp_min,
    aten.clamp_max, aten._softmax, aten._log_softmax, aten._safe_softmax, aten.logsumexp,
    aten.native_batch_norm, aten._native_batch_norm_legit, aten.native_layer_norm,
    aten._native_batch_norm_legit_no_training, aten.native_group_norm, aten._fused_rms_norm,
    aten.max_pool2d_with_indices, aten.max_pool3d_with_indices, aten.avg_pool2d, aten.avg_pool3d,
    aten.adaptive_max_pool2d, aten.adaptive_max_pool3d, aten._adaptive_avg_pool2d,
    aten._adaptive_avg_pool3d, aten.mean, aten.sum, aten.prod, aten.amax, aten.amin, aten.max,
    aten.min, aten.var, aten.var_mean, aten.std, aten.std_mean, aten.linalg_vector_norm,
    aten.native_dropout, aten.where, aten.masked_fill, aten.upsample_nearest1d,
    aten.upsample_nearest2d, aten.upsample_nearest3d, aten._upsample_nearest_exact1d,
    aten._upsample_nearest_exact2d, aten._upsample_nearest_exact3d, aten.upsample_linear1d,
    aten.upsample_bilinear2d, aten.upsample_bicubic2d, aten.upsample_trilinear3d,
    aten._upsample_bilinear2d_aa, aten._upsample_bicubic2d_aa, aten.grid_sampler_2d, aten.col2im,
    aten.eq, aten.ne, aten.gt, aten.lt, aten.ge, aten.le, aten.logical_not, aten.maximum,
    aten.minimum, aten.cumsum, aten.argmax, aten.argmin,
)))  # fmt: skip

# No operations by definition: making, viewing and moving data.
FREE = frozenset(_with_in_place((
    aten.view, aten._unsafe_view, aten.t, aten.transpose, aten.permute, aten.expand, aten.repeat,
    aten.unsqueeze, aten.squeeze, aten.slice, aten.select, aten.split, aten.split_with_sizes,
    aten.unsafe_split, aten.chunk, aten.unbind, aten.cat, aten.stack, aten.clone, aten.copy,
    aten._to_copy, aten.detach, aten.alias, aten.empty, aten.empty_like, aten.new_empty, aten.zeros,
    aten.zeros_like, aten.new_zeros, aten.ones, aten.ones_like, aten.full, aten.full_like,
    aten.fill, aten.zero, aten.arange, aten.scalar_tensor, aten.lift_fresh, aten.constant_pad_nd,
    aten.reflection_pad1d, aten.reflection_pad2d, aten.reflection_pad3d, aten.replication_pad1d,
    aten.replication_pad2d, aten.replication_pad3d, aten.roll, aten.flip, aten.flatten,
    aten.reshape, aten._reshape_alias, aten.as_strided, aten.unfold, aten.im2col, aten.index,
    aten.index_select, aten.index_put, aten.gather, aten.embedding, aten.channel_shuffle,
    aten.pixel_shuffle, aten.pixel_unshuffle, aten._local_scalar_dense,
)))  # fmt: skip
