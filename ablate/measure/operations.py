"""Counting the operations of a forward, operator by operator. A rule for each; none is silently 0.

Unit: one multiply-add is 1 MAC. Only convolutions and matrix products have MACs. Elementwise
operators, pooling and reductions have none, though they take time: that is what the measured
throughput is for. An operator without a rule is named in `uncounted`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
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


MACS: dict[Any, Callable[[tuple[Any, ...], torch.Tensor], int]] = {
    aten.convolution: _convolution,
    aten.mm: _product(0, 1),
    aten.bmm: _product(0, 1),
    aten.addmm: _product(1, 2),
    aten.baddbmm: _product(1, 2),
}

# No MACs by definition: elementwise, normalising, pooling, reducing, and moving data.
WITHOUT_MACS = {
    aten.add, aten.add_, aten.sub, aten.mul, aten.mul_, aten.div, aten.neg, aten.exp, aten.pow,
    aten.sqrt, aten.rsqrt, aten.relu, aten.relu_, aten.sigmoid, aten.sigmoid_, aten.tanh,
    aten.silu, aten.silu_, aten.gelu, aten.hardtanh, aten.hardtanh_, aten.hardswish,
    aten.hardswish_, aten.hardsigmoid, aten.hardsigmoid_, aten.clamp, aten.clamp_min, aten._softmax,
    aten.native_batch_norm, aten._native_batch_norm_legit_no_training, aten.native_layer_norm,
    aten.native_group_norm, aten.max_pool2d_with_indices, aten.avg_pool2d,
    aten.adaptive_max_pool2d, aten._adaptive_avg_pool2d, aten.mean, aten.sum, aten.amax,
    aten.max, aten.var, aten.std, aten.native_dropout, aten.view, aten._unsafe_view, aten.t,
    aten.transpose, aten.permute, aten.expand, aten.unsqueeze, aten.squeeze, aten.slice,
    aten.select, aten.split, aten.chunk, aten.cat, aten.stack, aten.clone, aten.copy_,
    aten._to_copy, aten.detach, aten.alias, aten.empty, aten.zeros, aten.ones, aten.full,
    aten.constant_pad_nd, aten.roll, aten.flatten, aten.reshape,
}  # fmt: skip


class OperationCounter(TorchDispatchMode):
    """Counts what runs while it is entered; `uncounted` names operators that no rule knows."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0
        self.uncounted: set[str] = set()

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
        elif operator not in WITHOUT_MACS:
            self.uncounted.add(str(operator))
        return output
