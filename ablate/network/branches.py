"""Where the residual branches of a network end: what is added to what skipped them.

Attention at these ends is where SE (arXiv 1709.01507) and CBAM (arXiv 1807.06521) put it in ResNets.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ablate.network.trace import make_outline, record_calls

_ADDITIONS = {"add", "add_", "__add__", "__iadd__", "__radd__"}
_LAYERS = {"conv2d", "conv_transpose2d", "linear"}
_DEPTH, _MAKER = "_ablate_depth", "_ablate_maker"


class _Additions(TorchFunctionMode):
    """Follows how many layers each tensor went through, and notes the deeper one of two that are added."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        tensors = [value for value in args if isinstance(value, torch.Tensor)]
        if name in _ADDITIONS and len(tensors) == 2:
            self._note(*tensors)
        depth = max((getattr(tensor, _DEPTH, 0) for tensor in tensors), default=0)
        output = func(*args, **(kwargs or {}))
        if isinstance(output, torch.Tensor):
            setattr(output, _DEPTH, depth + (name in _LAYERS))
        return output

    def _note(self, one: torch.Tensor, other: torch.Tensor) -> None:
        if one.ndim != 4 or one.shape != other.shape:
            return
        deeper = max(one, other, key=lambda tensor: getattr(tensor, _DEPTH, 0))
        if getattr(one, _DEPTH, 0) != getattr(other, _DEPTH, 0) and hasattr(deeper, _MAKER):
            self.ends.append(getattr(deeper, _MAKER))


def find_branch_ends(backbone: str, classes: int, image_size: int) -> list[str]:
    """The paths of the modules whose maps are added to what skipped them, in the order of the forward."""
    net = make_outline(backbone, classes, image_size).eval()
    for path, module in net.named_modules():
        module.register_forward_hook(partial(_made, path))
    additions = _Additions()
    record_calls(net, image_size, image_size, additions)
    return list(dict.fromkeys(additions.ends))


def _made(path: str, _module: nn.Module, _inputs: object, output: object) -> None:
    """Note who made a tensor: of modules that hand on what one inside them made, the innermost."""
    if isinstance(output, torch.Tensor):
        maker = getattr(output, _MAKER, None)
        if maker is None or not maker.startswith(f"{path}." if path else ""):
            setattr(output, _MAKER, path)
