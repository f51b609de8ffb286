"""A tensor in a description: exactly, by its bits, and roughly, by a sketch of its values."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor, nn

LOOKED_AT = 4096


def describe_tensor(tensor: Tensor) -> dict[str, Any]:
    """Type, shape, bits and sketch.

    The sketch is the root mean square in 3 digits and the direction along a fixed wave in 3 decimals:
    other values show in it, the last bits of another processor's arithmetic do not.
    """
    about = {"tensor": str(tensor.dtype), "shape": [] if is_empty(tensor) else list(tensor.shape)}
    if is_empty(tensor):
        return {**about, "sketch": "without values"}
    if tensor.is_quantized:
        about["quantized"] = _scales(tensor)
    values = _plain(tensor.detach()).cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    content = values.view(torch.uint8).numpy().tobytes() if values.numel() else b""
    return {**about, "bits": hashlib.sha256(content).hexdigest(), "sketch": _sketch(values)}


def _scales(tensor: Tensor) -> list[Any]:
    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        return [str(tensor.qscheme()), tensor.q_scale(), tensor.q_zero_point()]
    scales, zeros = tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points()
    return [str(tensor.qscheme()), scales.tolist(), zeros.tolist(), tensor.q_per_channel_axis()]


def is_empty(tensor: Tensor) -> bool:
    """Whether a tensor has no values to look at: on the meta device, or of a lazy module."""
    return tensor.is_meta or isinstance(
        tensor, (nn.parameter.UninitializedParameter, nn.parameter.UninitializedBuffer)
    )


def _plain(tensor: Tensor) -> Tensor:
    if tensor.is_quantized:
        return tensor.dequantize()
    return tensor if tensor.layout == torch.strided else tensor.to_dense()


def _sketch(values: Tensor) -> list[str]:
    if not values.numel():
        return []
    real = torch.view_as_real(values).reshape(-1) if values.is_complex() else values
    some = real[:: -(-len(real) // LOOKED_AT)].double()
    exact = real if real.is_floating_point() and real.itemsize > 1 else real.double()
    size = torch.linalg.vector_norm(exact, dtype=torch.float64).item() / len(real) ** 0.5
    wave = torch.cos(1.7 * torch.arange(len(some), dtype=torch.float64))
    length = some.norm().item()
    direction = (some @ wave).item() / length if length else 0.0
    return [f"{size:.3g}", f"{direction + 0.0:.3f}".replace("-0.000", "0.000")]
