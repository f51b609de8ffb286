"""Gates on a feature map laid out in rows, and their gradients: what the fused kernels are made of.

A map (N, C, H, W) is seen as rows (N, H·W, C), a view in either memory format. What is small, pooled
values and gates, has the accumulation dtype, float32 at least. So have rows within the spatial half: on a
CPU most operations on them are faster in float32 than in bfloat16, the maximum over channels 12 times.

Everything here is plain ATen without a shape or a branch that depends on values, and nothing waits
for the device. No function changes its arguments. Gradients are named after what they belong to.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ablate.attention.convolve import convolve, convolve_backward


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type for small tensors and for sums: float64 stays, everything else is float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def to_rows(x: Tensor) -> Tensor:
    """(N, C, H, W) → (N, H·W, C), a view wherever the strides allow one."""
    rows: Tensor = x.permute(0, 2, 3, 1).flatten(1, 2)
    return rows


def from_rows(rows: Tensor, like: Tensor) -> Tensor:
    """(N, H·W, C) → (N, C, H, W), in the size and dtype of `like` and the layout of the rows."""
    x: Tensor = rows.to(like.dtype).unflatten(1, like.shape[2:])
    return x.permute(0, 3, 1, 2)


def as_map(gate: Tensor, like: Tensor) -> Tensor:
    """A gate of places (N, H·W, 1) → (N, 1, H, W), in the size of `like`."""
    return gate.reshape(like.shape[0], 1, *like.shape[2:])


def grad_to_rows(grad: Tensor, x: Tensor, dtype: torch.dtype) -> Tensor:
    """The output's gradient as rows, in the memory layout of `x`.

    A `flatten` behind attention hands back a contiguous gradient for a channels-last map; mixed
    layouts make each operation several times slower, so they are mended once, here.
    """
    if grad.stride() != x.stride():
        grad = torch.empty_like(x, dtype=dtype).copy_(grad)
    return to_rows(grad).to(dtype)


class Pooled(NamedTuple):
    """Average and, for CBAM, maximum of each channel: values (K, N, C), K = 1 or 2, of the
    accumulation dtype.

    `places` (N, C) is the first place of the maximum, places counted row by row; None for K = 1.
    """

    values: Tensor
    places: Tensor | None


def pool_places(x: Tensor, *, with_peak: bool) -> Pooled:
    """Each channel of (N, C, H, W) over all its places."""
    average = to_rows(x).mean(dim=1, dtype=accumulation_dtype(x.dtype))
    if not with_peak:
        return Pooled(average[None], None)
    peak, places = _peak(x)
    return Pooled(torch.stack((average, peak.to(average.dtype))), places)


def _peak(x: Tensor) -> tuple[Tensor, Tensor]:
    """The largest value of each channel and its place, both (N, C). On a GPU the pool has one thread for
    each channel, and first copies what is channels last.
    """
    if x.device.type == "cuda":
        values, places = to_rows(x).max(dim=1)
        return values, places
    peak, places = F.adaptive_max_pool2d(x, 1, return_indices=True)
    return peak.flatten(1), places.flatten(1)


def scale_backward(
    grad: Tensor, gate: Tensor, grad_pooled: Tensor, places: Tensor | None
) -> Tensor:
    """Gradient (N, H·W, C) of rows that were pooled and then scaled by `gate`: both ways in one pass.

    Shape: grad, the output's gradient, (N, H·W, C); gate (N, C); grad_pooled (K, N, C); places (N, C) as
    in `Pooled`, None for K = 1.
    """
    grad_average = (grad_pooled[0] / grad.shape[1]).to(grad.dtype)
    grad_rows = torch.addcmul(grad_average[:, None], grad, gate.to(grad.dtype)[:, None])
    if places is not None:
        grad_rows.scatter_add_(1, places[:, None], grad_pooled[1].to(grad.dtype)[:, None])
    return grad_rows


def excite(pooled: Tensor, w1: Tensor, w2: Tensor) -> tuple[Tensor, Tensor]:
    """gate = σ(Σₖ W₂ relu(W₁ pooledₖ)) and the hidden units. (K, N, C) → (N, C), (K, N, hidden)."""
    hidden = F.linear(pooled, w1.to(pooled.dtype)).relu_()
    # W₂ is linear: its K products are one product of the sum.
    return F.linear(hidden.sum(dim=0), w2.to(pooled.dtype)).sigmoid_(), hidden


def excite_backward(
    grad_gate: Tensor, gate: Tensor, hidden: Tensor, pooled: Tensor, w1: Tensor, w2: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `pooled` (K, N, C), of W₁ and of W₂.

    Shape: grad_gate and gate (N, C); hidden (K, N, hidden) and pooled (K, N, C) as `excite` had them;
    w1 (hidden, C), w2 (C, hidden).
    """
    grad_scores = grad_gate * gate * (1 - gate)
    grad_w2 = grad_scores.t() @ hidden.sum(dim=0)
    grad_hidden = (grad_scores @ w2.to(gate.dtype)) * (hidden > 0)
    grad_w1 = grad_hidden.flatten(0, 1).t() @ pooled.flatten(0, 1)
    grad_pooled = grad_hidden @ w1.to(gate.dtype)
    return grad_pooled, grad_w1.to(w1.dtype), grad_w2.to(w2.dtype)


def spatial_gate(rows: Tensor, weight: Tensor, size: torch.Size) -> tuple[Tensor, Tensor]:
    """σ(convolution of mean and maximum over channels). (N, H·W, C) → gate (N, H·W, 1), maps.

    Shape: `size` is (H, W); the maps are (N, 2, H, W).
    """
    maps = torch.stack((rows.mean(dim=2), rows.amax(dim=2)), dim=1).unflatten(2, size)
    scores = convolve(maps, weight.to(maps.dtype))
    return scores.sigmoid_().flatten(1)[:, :, None], maps


def spatial_gate_backward(
    grad_out: Tensor, rows: Tensor, gate: Tensor, maps: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of `rows` (N, H·W, C) and of the convolution (1, 2, k, k), of the output rows × gate.

    Shape: grad_out and rows (N, H·W, C); gate (N, H·W, 1); maps (N, 2, H, W); weight (1, 2, k, k).
    `rows` are those that `spatial_gate` saw, to the last bit: the maximum is found again by equality.
    """
    grad_scores = (grad_out * rows).sum(dim=2, keepdim=True) * gate * (1 - gate)
    grad_scores = grad_scores.reshape(maps[:, :1].shape)
    grad_maps, grad_weight = convolve_backward(grad_scores, maps, weight.to(maps.dtype))
    grad_mean, grad_peak = grad_maps.flatten(2)[..., None].unbind(1)
    # As amax does, equal maxima share the gradient evenly.
    peak = maps[:, 1].flatten(1)[..., None]
    is_peak = torch.eq(rows, peak, out=torch.empty_like(rows))  # as numbers, 8 times faster
    grad_peak = grad_peak / is_peak.sum(dim=2, keepdim=True)
    through_maps = is_peak.mul_(grad_peak).add_(grad_mean / rows.shape[2])
    return through_maps.add_(grad_out * gate), grad_weight.to(weight.dtype)
