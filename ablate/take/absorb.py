"""A constant in place of attention, multiplied into the weights of a layer before or after it, so that
nothing is left of it: a batch norm or convolution before, or all convolutions and linear layers that read the
map.

Between them may stand what such a factor goes through unchanged: averages and dropout, and for factors above
0 also ReLU and maxima. Where a map goes elsewhere too, into a sum for example, a 1×1 convolution of each
channel by itself is left in the place of attention.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import fx, nn
from torch.nn import functional as F

from ablate.insert import remove
from ablate.take.constant import Constant
from ablate.take.trace import graph_of

LINEAR = (nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Dropout, nn.Dropout2d, nn.Identity)
HOMOGENEOUS = (nn.ReLU, nn.LeakyReLU, nn.MaxPool2d, nn.AdaptiveMaxPool2d)
"""Of factors above 0."""
LINEAR_CALLS = frozenset({F.dropout, F.avg_pool2d, F.adaptive_avg_pool2d})
HOMOGENEOUS_CALLS = frozenset({F.relu, torch.relu, F.max_pool2d, F.leaky_relu})
FLATTENED = frozenset({torch.flatten, "flatten"})


@dataclass(frozen=True)
class Absorbed:
    """Where the constant of a place has gone: `into` are the layers, none where a convolution is left."""

    path: str
    into: tuple[str, ...]


def absorb(net: nn.Module, constants: Iterable[Constant], name: str) -> list[Absorbed]:
    """Take attention out of a network, with constants in its place; the network computes what it computed
    with those, up to rounding.

    Raises:
        StudyError: torch.fx cannot follow its forward.
    """
    done = []
    for constant in constants:
        found = _Layers(net, graph_of(net, name)).around(constant)
        with torch.no_grad():
            for path, incoming in found:
                _scale(net.get_submodule(path), constant.scale, incoming=incoming)
        if found:
            remove(net, constant.path)
        else:
            _leave_a_convolution(net, constant)
        done.append(Absorbed(constant.path, tuple(path for path, _ in found)))
    return done


class _Layers:
    """The layers of a network in their order, and which of them a factor can go into."""

    def __init__(self, net: nn.Module, graph: fx.Graph) -> None:
        self._net, self._nodes = net, list(graph.nodes)
        self._calls = Counter(str(n.target) for n in self._nodes if n.op == "call_module")
        self._uses = Counter(id(p) for _, p in net.named_parameters(remove_duplicate=False))

    def around(self, constant: Constant) -> list[tuple[str, bool]]:
        """The layers that take the constant, and whether by their input; none if there are no such."""
        # A module of one's own is called without what holds it.
        paths = (constant.path, f"{constant.path}.module")
        nodes = [n for n in self._nodes if n.op == "call_module" and n.target in paths]
        if len(nodes) != 1:
            return []
        positive = bool((constant.scale > 0).all())
        before = self._before(nodes[0], positive)
        if before is not None:
            return [(before, False)]
        after = self._after(nodes[0], len(constant.scale), positive)
        return [] if after is None else [(path, True) for path in dict.fromkeys(after)]

    def _before(self, node: fx.Node, positive: bool) -> str | None:
        given = node.args[0]
        if not isinstance(given, fx.Node) or len(given.users) != 1:
            return None  # somebody else reads the map as it is
        module = self._module(given)
        if isinstance(module, nn.BatchNorm2d | nn.Conv2d) and self._is_own(module):
            return str(given.target)
        return self._before(given, positive) if self._passes(given, positive) else None

    def _after(
        self, node: fx.Node, channels: int, positive: bool, flat: bool = False
    ) -> list[str] | None:
        """The layers that read the map, None where one does with which a factor cannot go; `flat` where its
        values stand beside each other, those of a channel together.
        """
        found: list[str] = []
        for user in node.users:
            module = self._module(user)
            if module is not None and self._reads(module, channels, flat):
                found.append(str(user.target))
                continue
            flattens = not flat and _flattens(user, self._module(user))
            if not (self._passes(user, positive) or flattens):
                return None
            further = self._after(user, channels, positive, flat or flattens)
            if further is None:
                return None
            found += further
        return found or None

    def _reads(self, layer: nn.Module, channels: int, flat: bool) -> bool:
        if flat:
            fits = isinstance(layer, nn.Linear) and layer.in_features % channels == 0
        else:
            fits = isinstance(layer, nn.Conv2d) and layer.in_channels == channels
        return fits and self._is_own(layer)

    def _module(self, node: fx.Node) -> nn.Module | None:
        """The layer that is called there, if nowhere else."""
        if node.op != "call_module" or self._calls[str(node.target)] != 1:
            return None
        return self._net.get_submodule(str(node.target))

    def _is_own(self, layer: nn.Module) -> bool:
        """Whether its weights are parameters that no other layer has."""
        weight, named = layer._parameters.get("weight"), dict(layer.named_parameters(recurse=False))
        return weight is not None and all(self._uses[id(p)] == 1 for p in named.values())

    def _passes(self, node: fx.Node, positive: bool) -> bool:
        if node.op == "call_module":
            kinds = LINEAR + (HOMOGENEOUS if positive else ())
            return type(self._net.get_submodule(str(node.target))) in kinds
        calls = LINEAR_CALLS | (HOMOGENEOUS_CALLS if positive else frozenset())
        return node.target in calls


def _flattens(node: fx.Node, module: nn.Module | None) -> bool:
    if module is not None:
        return isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1)
    dims = {**dict(zip(("start_dim", "end_dim"), node.args[1:], strict=False)), **node.kwargs}
    return node.target in FLATTENED and dims in ({"start_dim": 1}, {"start_dim": 1, "end_dim": -1})


def _scale(layer: nn.Module, scale: torch.Tensor, *, incoming: bool) -> None:
    """Multiply what a layer reads, or what it gives, by a number for each channel."""
    weight = layer.get_parameter("weight")
    factor = scale.to(weight)
    if not incoming:
        weight.mul_(factor.view(-1, *[1] * (weight.dim() - 1)))
        if layer._parameters.get("bias") is not None:
            layer.get_parameter("bias").mul_(factor)
    elif isinstance(layer, nn.Conv2d):
        by_group = factor.view(layer.groups, -1).repeat_interleave(
            len(weight) // layer.groups, dim=0
        )
        weight.mul_(by_group[:, :, None, None])
    else:
        weight.mul_(factor.repeat_interleave(weight.shape[1] // len(factor)))


def _leave_a_convolution(net: nn.Module, constant: Constant) -> None:
    channels = len(constant.scale)
    convolution = nn.Conv2d(channels, channels, 1, groups=channels, bias=False)
    with torch.no_grad():
        convolution.weight.copy_(constant.scale.view(-1, 1, 1, 1))
    above, _, name = constant.path.rpartition(".")
    setattr(net.get_submodule(above), name, convolution.eval())
