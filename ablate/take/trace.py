"""A network as a list of plain layers and the forward between them, by torch.fx; attention stays whole."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from ablate.attention import Attention, OwnAttention
from ablate.errors import StudyError
from ablate.insert import BEFORE_HOOKS, apply_after
from ablate.result.architecture import ATTACHED_AS, BEFORE_AS
from ablate.system.messages.text import one_line
from ablate.take.source import Plain

PASSED_BY = ("StochasticDepth",)
"""Modules of torchvision's that do nothing in evaluation mode."""


@dataclass(frozen=True)
class Traced:
    """The source of `forward(self, …)`, the leaf modules by path in the order in which they are made, and the
    tensors that the forward reads by itself.
    """

    forward: str
    layers: Mapping[str, nn.Module]
    tensors: Mapping[str, torch.Tensor]


def trace_forward(net: nn.Module, name: str) -> Traced:
    """What a network does in evaluation mode.

    Raises:
        StudyError: its forward depends on values, or calls what is no part of PyTorch.
    """
    graph = graph_of(net, name)
    code = graph.python_code("self")
    forward = ast.parse(code.src)
    Plain().visit(forward)
    used = {node.id for node in ast.walk(forward) if isinstance(node, ast.Name)}
    for word in sorted(used & set(code.globals)):
        if not _is_torchs(code.globals[word]):
            raise StudyError(
                f"{name} cannot be written as one file: its forward calls {word}, which is no part of "
                "PyTorch's; its weights are in the database's folder weights/"
            )
    called = {str(node.target) for node in graph.nodes if node.op == "call_module"}
    read = [str(node.target) for node in graph.nodes if node.op == "get_attr"]
    layers = {path: module for path, module in net.named_modules() if path in called}
    return Traced(ast.unparse(forward), layers, {path: _attribute(net, path) for path in read})


def graph_of(net: nn.Module, name: str) -> fx.Graph:
    """What a network does in evaluation mode, layer by layer; attention is a layer.

    Raises:
        StudyError: its forward depends on values.
    """
    tracer = _Tracer({m.module for m in net.modules() if isinstance(m, OwnAttention)})
    net.eval()
    try:
        return tracer.trace(net)
    except Exception as error:
        # Whatever a forward does that cannot be traced, it cannot be written down.
        raise StudyError(
            f"{name} cannot be written as one file: torch.fx cannot follow its forward ({one_line(error)}); "
            "its weights are in the database's folder weights/"
        ) from error


class _Tracer(fx.Tracer):
    """Traces through everything but attention and PyTorch's own layers, with the hooks by which attention
    hangs on those. `theirs` are modules of the user's, which stay whole without what holds them.
    """

    def __init__(self, theirs: Set[nn.Module]) -> None:
        super().__init__()
        self._theirs = theirs

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        whole = isinstance(m, Attention) or m in self._theirs
        return whole or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self, m: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if isinstance(m, OwnAttention):
            return self.call_module(m.module, m.module.forward, args, kwargs)
        if type(m).__name__ in PASSED_BY and type(m).__module__.startswith("torchvision."):
            return args[0]
        if not self.is_leaf_module(m, self.path_of_module(m)):
            return super().call_module(m, forward, args, kwargs)
        if not BEFORE_HOOKS.isdisjoint(m._forward_pre_hooks.values()):
            args = (getattr(m, BEFORE_AS)(args[0]), *args[1:])
        given = super().call_module(m, forward, args, kwargs)
        after = apply_after in m._forward_hooks.values()
        return getattr(m, ATTACHED_AS)(given) if after else given


def _is_torchs(value: object) -> bool:
    """Whether a name means torch itself: what else torch.fx names needs an import that the file has not."""
    return value is torch


def _attribute(root: Any, path: str) -> torch.Tensor:
    value = root
    for name in path.split("."):
        value = getattr(value, name)
    return value  # type: ignore[no-any-return]
