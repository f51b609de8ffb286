"""Fused attention: the same equations as the plain modules, in fewer passes over the feature map.

Each function is one node of autograd with a gradient of its own, so the three uses of the input need
no sum of three gradients and no copy between memory formats. Of what is as large as the map only the
input is kept; backward makes the rest anew. Operators are plain ATen; the arithmetic stands in `gates.py`.

Autocast is off inside: the map is read and written in the dtype that it has, and what is small, or
between the two halves of a CBAM, is in float32 at least. So bfloat16 is rounded less often than in
the plain modules.
No output is a view: what follows may change it in place, as a ResNet adds its shortcut.
Shape: (N, C, H, W) → the same shape, dtype and memory format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ablate.attention import gates
from ablate.attention.base import scaled


def channel_scale(
    x: Tensor, w1: Tensor, w2: Tensor, *, with_peak: bool, scale: float = 1.0
) -> Tensor:
    """x × scale × σ(Σₖ W₂ relu(W₁ poolₖ(x))): SE pools the mean, CBAM's channel half also the maximum."""
    out: Tensor = _ChannelScale.apply(x, w1, w2, with_peak, scale)
    return out


def spatial_scale(x: Tensor, weight: Tensor, *, scale: float = 1.0) -> Tensor:
    """x × scale × σ(conv(mean and maximum over channels)), the spatial half of CBAM."""
    out: Tensor = _SpatialScale.apply(x, weight, scale)
    return out


def cbam_scale(x: Tensor, w1: Tensor, w2: Tensor, weight: Tensor, *, scale: float = 1.0) -> Tensor:
    """The channel half, then the spatial half, both with that scale, without storing the map in between."""
    out: Tensor = _CbamScale.apply(x, w1, w2, weight, scale)
    return out


class _ChannelScale(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w1: Tensor, w2: Tensor, with_peak: bool, scale: float
    ) -> Tensor:
        ctx.scale = scale
        with torch.autocast(x.device.type, enabled=False):
            pooled = gates.pool_places(x, with_peak=with_peak)
            gate, hidden = gates.excite(pooled.values, w1, w2)
            ctx.save_for_backward(x, w1, w2, *pooled, gate, hidden)
            return x * scaled(gate, scale).to(x.dtype)[:, :, None, None]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        x, w1, w2, pooled, places, gate, hidden = ctx.saved_tensors
        with torch.autocast(x.device.type, enabled=False):
            grad = scaled(gates.grad_to_rows(grad_out, x, x.dtype), ctx.scale)
            grad_gate = (grad * gates.to_rows(x)).sum(dim=1, dtype=gate.dtype)
            grad_pooled, grad_w1, grad_w2 = gates.excite_backward(
                grad_gate, gate, hidden, pooled, w1, w2
            )
            grad_rows = gates.scale_backward(grad, gate, grad_pooled, places)
            return gates.from_rows(grad_rows, x), grad_w1, grad_w2, None, None


class _SpatialScale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        with torch.autocast(x.device.type, enabled=False):
            rows = gates.to_rows(x)
            gate, maps = gates.spatial_gate(
                rows.to(gates.accumulation_dtype(x.dtype)), weight, x.shape[2:]
            )
            ctx.save_for_backward(x, weight, gate, maps)
            return x * gates.as_map(scaled(gate, scale), x).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, gate, maps = ctx.saved_tensors
        with torch.autocast(x.device.type, enabled=False):
            rows = gates.to_rows(x).to(gate.dtype)
            grad = scaled(gates.grad_to_rows(grad_out, x, gate.dtype), ctx.scale)
            grad_rows, grad_weight = gates.spatial_gate_backward(grad, rows, gate, maps, weight)
            return gates.from_rows(grad_rows, x), grad_weight, None


class _CbamScale(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w1: Tensor, w2: Tensor, weight: Tensor, scale: float
    ) -> Tensor:
        ctx.scale = scale
        with torch.autocast(x.device.type, enabled=False):
            pooled = gates.pool_places(x, with_peak=True)
            channel, hidden = gates.excite(pooled.values, w1, w2)
            gated = x * scaled(channel, scale)[:, :, None, None]
            spatial, maps = gates.spatial_gate(gates.to_rows(gated), weight, x.shape[2:])
            ctx.save_for_backward(x, w1, w2, weight, *pooled, channel, hidden, spatial, maps)
            return gated.mul_(gates.as_map(scaled(spatial, scale), x)).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        x, w1, w2, weight, pooled, places, channel, hidden, spatial, maps = ctx.saved_tensors
        with torch.autocast(x.device.type, enabled=False):
            rows = gates.to_rows(x).to(channel.dtype)
            grad = scaled(gates.grad_to_rows(grad_out, x, channel.dtype), ctx.scale)
            scaled_rows = rows * scaled(channel, ctx.scale)[:, None]
            grad, grad_weight = gates.spatial_gate_backward(
                grad, scaled_rows, spatial, maps, weight
            )
            grad = scaled(grad, ctx.scale)
            grad_pooled, grad_w1, grad_w2 = gates.excite_backward(
                (grad * rows).sum(dim=1), channel, hidden, pooled, w1, w2
            )
            grad_rows = gates.scale_backward(grad, channel, grad_pooled, places)
            return gates.from_rows(grad_rows, x), grad_w1, grad_w2, grad_weight, None
