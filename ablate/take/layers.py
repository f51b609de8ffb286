"""PyTorch's own layers as the expressions that make them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from ablate.errors import StudyError

Shapes = list[tuple[str, tuple[int, ...]]]


def _multihead(layer: Any) -> str:
    return (
        f"nn.MultiheadAttention({layer.embed_dim}, {layer.num_heads}, dropout={layer.dropout}, "
        f"bias={layer.in_proj_bias is not None}, batch_first={layer.batch_first})"
    )


SPECIAL: Mapping[str, Callable[[nn.Module], str]] = {
    "MultiheadAttention": _multihead,
    "ReLU": lambda layer: f"nn.ReLU(inplace={layer.inplace})",
    "ReLU6": lambda layer: f"nn.ReLU6(inplace={layer.inplace})",
    "SiLU": lambda layer: f"nn.SiLU(inplace={layer.inplace})",
    "Hardswish": lambda layer: f"nn.Hardswish(inplace={layer.inplace})",
    "Hardsigmoid": lambda layer: f"nn.Hardsigmoid(inplace={layer.inplace})",
}
"""Layers that do not print themselves as they are made."""


def expression_of(path: str, layer: nn.Module) -> str:
    """What makes a layer of this kind, with other weights.

    Raises:
        StudyError: a layer that cannot be written so.
    """
    kind = type(layer).__name__
    kind = "Linear" if kind == "NonDynamicallyQuantizableLinear" else kind
    shown = str(layer.extra_repr())
    text = SPECIAL[kind](layer) if kind in SPECIAL else f"nn.{kind}({shown})"
    if not type(layer).__module__.startswith("torch.nn.modules."):
        text = f"{kind}()"
    try:
        # Of PyTorch's own layers, as they print themselves: numbers, names and brackets.
        made = eval(text, {"nn": nn, "__builtins__": {"True": True, "False": False, "None": None}})  # noqa: S307
        same = _shape(made) == _shape(layer) and made.extra_repr() == shown
    except Exception as error:
        raise _unwritten(path, layer) from error
    if not same:
        raise _unwritten(path, layer)
    return text


def _shape(layer: nn.Module) -> Shapes:
    """The tensors of a layer, without attention that hangs on it."""
    own = {*dict(layer.named_parameters(recurse=False)), *dict(layer.named_buffers(recurse=False))}
    return sorted((n, tuple(t.shape)) for n, t in layer.state_dict().items() if n in own)


def _unwritten(path: str, layer: nn.Module) -> StudyError:
    return StudyError(
        f"{path!r} is a {type(layer).__name__} that cannot be written as it is made ({layer.extra_repr()}): "
        "the weights of the network are in the database's folder weights/"
    )
