"""(N, C, H, W) or (N, H, W, C)? Follows through a forward where the channels of a tensor stand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class ChannelsSecond(TorchFunctionMode):
    """Follows through a forward which tensors have their channels second, as the image has.

    Operators of two dimensions give it; whatever moves dimensions loses it; all others hand it on.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        known = any(hasattr(tensor, _SECOND) for tensor in _tensors((args, kwargs or {})))
        output = func(*args, **(kwargs or {}))
        name = _name(func)
        for tensor in _tensors(output):
            if tensor.ndim == 4 and (name in _GIVES_SECOND or (known and name not in _MOVES)):
                mark_second(tensor)
            elif hasattr(tensor, _SECOND):
                delattr(tensor, _SECOND)  # moved in place
        return output


def mark_second(tensor: torch.Tensor) -> torch.Tensor:
    """The same tensor, known to have its channels second."""
    setattr(tensor, _SECOND, True)
    return tensor


def is_second(value: object) -> bool:
    """Whether a value is a tensor that is known to have its channels second."""
    return hasattr(value, _SECOND)


def _tensors(value: object) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _name(func: Any) -> str:
    """`permute` of a function or method, `T` of a property."""
    name: str = getattr(func, "__name__", "")
    return getattr(func.__self__, "__name__", name) if name == "__get__" else name


_SECOND = "_ablate_channels_second"

_GIVES_SECOND = frozenset({
    "conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d",
    "adaptive_max_pool2d", "pixel_shuffle", "pixel_unshuffle", "interpolate",
})  # fmt: skip

_MOVES = frozenset({
    "permute", "transpose", "transpose_", "swapaxes", "swapaxes_", "swapdims", "swapdims_",
    "movedim", "moveaxis", "T", "mT", "H", "mH", "t", "t_", "reshape", "reshape_as", "view",
    "view_as", "flatten", "unflatten", "squeeze", "squeeze_", "unsqueeze", "unsqueeze_",
    "resize_", "as_strided", "as_strided_", "stack", "unfold", "fold", "einsum", "matmul",
    "__matmul__", "bmm", "mm", "baddbmm", "tensordot", "rot90", "channel_shuffle",
    "scaled_dot_product_attention", "multi_head_attention_forward", "linear", "bilinear",
})  # fmt: skip
