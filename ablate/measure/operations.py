"""Counting the operations of a forward, operator by operator. A rule for each; none is silently 0.

Unit: one multiply-add is 1 MAC; only convolutions and matrix products have MACs, and the values that
they give are the activations (Dollár et al. 2021, arXiv 2103.06877). Elementwise operators,
normalisation, pooling and reductions are counted apart: one for each value that they read or write,
whichever is more. Moving data counts nothing. An operator without a rule is named in `uncounted`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten


def _convolution(arguments: tuple[Any, ...], output: torch.Tensor) -> int:
    """Every output value is a sum over a filter: (C_in / groups) × k_h × k_w products."""
    weight = arguments[1]
    return int(output.numel() * prod(weight.shape[1:]))


def _product(left: int, right: int) -> Callable[[tuple[Any, ...], torch.Tensor], int]:
    """(…, n, m) @ (…, m, p): n × m × p. `left` and `right` are the places of the two factors."""

    def macs(arguments: tuple[Any, ...], _output: torch.Tensor) -> int:
        return int(arguments[left].numel() * arguments[right].shape[-1])

    return macs


def _attention(arguments: tuple[Any, ...], _output: Any) -> int:
    """softmax(Q Kᵀ) V: two products of n × m × (the width of a head)."""
    query, key, value = arguments[:3]
    queries = query.numel() // query.shape[-1]  # over images, heads and places
    return int(queries * key.shape[-2] * (query.shape[-1] + value.shape[-1]))


MACS: dict[Any, Callable[[tuple[Any, ...], Any], int]] = {
    aten.convolution: _convolution,
    aten.mm: _product(0, 1),
    aten.bmm: _product(0, 1),
    aten.addmm: _product(1, 2),
    aten.baddbmm: _product(1, 2),
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention: _attention,
    aten._scaled_dot_product_efficient_attention: _attention,
    aten._scaled_dot_product_fused_attention_overrideable: _attention,
}

ELEMENTWISE = {
    aten.add, aten.add_, aten.sub, aten.rsub, aten.mul, aten.mul_, aten.div, aten.div_, aten.neg,
    aten.exp, aten.log, aten.pow, aten.abs, aten.sqrt, aten.rsqrt, aten.relu, aten.relu_, aten.elu,
    aten.sigmoid, aten.sigmoid_, aten.tanh, aten.silu, aten.silu_, aten.gelu, aten.leaky_relu,
    aten.leaky_relu_, aten.hardtanh, aten.hardtanh_, aten.hardswish, aten.hardswish_,
    aten.hardsigmoid, aten.hardsigmoid_, aten.clamp, aten.clamp_, aten.clamp_min, aten.softplus,
    aten.mish, aten._softmax, aten._log_softmax, aten._safe_softmax, aten.native_batch_norm,
    aten._native_batch_norm_legit_no_training, aten.native_layer_norm, aten.native_group_norm,
    aten._fused_rms_norm, aten.max_pool2d_with_indices, aten.avg_pool2d, aten.adaptive_max_pool2d,
    aten._adaptive_avg_pool2d, aten.mean, aten.sum, aten.amax, aten.amin, aten.max, aten.min,
    aten.var, aten.std, aten.linalg_vector_norm, aten.native_dropout, aten.where,
    aten.masked_fill, aten.upsample_nearest2d, aten.upsample_bilinear2d, aten.eq, aten.ne, aten.gt,
    aten.lt, aten.ge, aten.le, aten.maximum, aten.minimum, aten.cumsum, aten.argmax,
}  # fmt: skip

# No operations by definition: making, viewing and moving data.
FREE = {
    aten.view, aten._unsafe_view, aten.t, aten.transpose, aten.permute, aten.expand, aten.repeat,
    aten.unsqueeze, aten.squeeze, aten.slice, aten.select, aten.split, aten.split_with_sizes,
    aten.chunk, aten.unbind, aten.cat, aten.stack, aten.clone, aten.copy_, aten._to_copy,
    aten.detach, aten.alias, aten.empty, aten.empty_like, aten.zeros, aten.zeros_like, aten.ones,
    aten.ones_like, aten.new_zeros, aten.full, aten.full_like, aten.fill_, aten.zero_, aten.arange,
    aten.scalar_tensor, aten.lift_fresh, aten.constant_pad_nd, aten.roll, aten.flip, aten.flatten,
    aten.reshape, aten.index, aten.gather, aten.channel_shuffle, aten.pixel_shuffle,
    aten._reshape_alias, aten.as_strided, aten.as_strided_, aten._local_scalar_dense,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Operations:
    """What one forward computes; two of them add up."""

    macs: int = 0
    elementwise: int = 0
    activations: int = 0
    uncounted: frozenset[str] = frozenset()

    def __add__(self, other: Operations) -> Operations:
        return Operations(
            self.macs + other.macs,
            self.elementwise + other.elementwise,
            self.activations + other.activations,
            self.uncounted | other.uncounted,
        )


def count_operations(net: nn.Module, shape: tuple[int, ...]) -> Operations:
    """The operations of one forward of one black input of that (C, H, W)."""
    image = torch.zeros(1, *shape)
    with torch.no_grad(), _plain_attention(), OperationCounter() as counter:
        net.eval()(image)
    total: Operations = counter.total
    return total


@contextmanager
def _plain_attention() -> Iterator[None]:
    """nn.MultiheadAttention operator by operator, not as one operator that hides its products."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


class OperationCounter(TorchDispatchMode):
    """Counts what runs while it is entered; `uncounted` names operators that no rule knows."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs, self.elementwise, self.activations = 0, 0, 0
        self.uncounted: set[str] = set()

    @property
    def total(self) -> Operations:
        return Operations(self.macs, self.elementwise, self.activations, frozenset(self.uncounted))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing is compiled here; True would load the compiler, 3.5 s at every start.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        operator = func.overloadpacket
        if operator in MACS:
            self.macs += MACS[operator](args, output)
            self.activations += _values((output,))
        elif operator in ELEMENTWISE:
            self.elementwise += max(_values(args), _values((output,)))
        elif operator not in FREE:
            self.uncounted.add(str(operator))
        return output


def _values(given: tuple[Any, ...]) -> int:
    """The number of values in the largest tensor; of a tuple of results the first is the one that counts."""
    first = [item[0] if isinstance(item, tuple) and item else item for item in given]
    return max((item.numel() for item in first if isinstance(item, torch.Tensor)), default=0)
