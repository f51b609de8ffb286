"""Putting attention into a network: after a module, before it, or in its place.

The backbone's own paths and `state_dict` keys stay as they are. A plain Sequential runs its children in
order, so there attention is one of them; elsewhere a hook calls it. Hooks are module-level functions, so
that a network can be pickled and copied, and such as TorchScript can compile.
"""

from __future__ import annotations

import copy
import inspect
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ablate.errors import PlacementError
from ablate.placement import Target
from ablate.result.architecture import ATTACHED_AS, BEFORE_AS
from ablate.study.position import BEFORE, REPLACE
from ablate.system.messages.text import one_line


def insert(net: nn.Module, target: Target, attention: nn.Module) -> None:
    """Let attention act at a place of a network.

    Raises:
        PlacementError: the module there takes no other into it.
    """
    try:
        _insert(net, target, attention)
    except Exception as error:
        # A module may guard its children and hooks in any way.
        raise PlacementError(
            f"attention {target.words} cannot be put there: {one_line(error)}; name another module"
        ) from error


def _insert(net: nn.Module, target: Target, attention: nn.Module) -> None:
    if target.how == REPLACE:
        alone = nn.Sequential(OrderedDict([(ATTACHED_AS, attention)]))
        _put(net, target.path, alone)
        return
    host = net.get_submodule(target.path)
    in_order = type(host).forward is nn.Sequential.forward
    if target.how != BEFORE:
        host.add_module(ATTACHED_AS, attention)
        if not in_order:
            # Before hooks of the network's own, which are to see the output that goes on.
            host.register_forward_hook(apply_after, prepend=True)
        return
    children = dict(host._modules) if in_order else {}
    for name in children:
        delattr(host, name)
    host.add_module(BEFORE_AS, attention)
    for name, child in children.items():
        host.add_module(name, child)
    if not in_order:
        host.register_forward_pre_hook(_hook_before(host))


def remove(net: nn.Module, path: str) -> None:
    """Let the attention of that path act no more; the network is as it was before `insert`, but that a module
    which attention had replaced is an empty Sequential.
    """
    above, _, name = path.rpartition(".")
    host = net.get_submodule(above)
    ours = {apply_after} if name == ATTACHED_AS else BEFORE_HOOKS
    for table in (host._forward_hooks, host._forward_pre_hooks):
        for key in [key for key, hook in table.items() if hook in ours]:
            del table[key]
    delattr(host, name)


def plain_network(net: nn.Module) -> nn.Module:
    """A copy of a built network in which no hook is left: attention and the module where it acts are the
    children of an ordinary Sequential.

    For tools that take modules apart and lose hooks, such as torch.fx when it fuses convolutions and
    batch norms. Values stay the same; the weights of a module with attention have another path:
    `bn2.weight` is `bn2.module.weight`.
    """
    net = copy.deepcopy(net)
    hosts = [path for path, module in net.named_modules() if _hooks(module)]
    for path in reversed(hosts):  # those inside first
        _put(net, path, _in_order(net.get_submodule(path)))
    return net


def apply_after(self: Any, input: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
    """The forward hook of a module with attention after it. TorchScript wants these names, and no comment
    in the body that begins with the word type."""
    gated: torch.Tensor = self.attention(output)
    return gated


def apply_before(self: Any, input: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    """The forward hook of a module with attention before it."""
    gated: torch.Tensor = self.attention_before(input[0])
    return (gated,)


def apply_before_first(self: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """That of a module whose forward takes more than the map: what else it is called with stays."""
    return (self.attention_before(inputs[0]), *inputs[1:])


BEFORE_HOOKS = frozenset({apply_before, apply_before_first})


def _hook_before(host: nn.Module) -> Callable[..., Any]:
    kinds = [each.kind for each in inspect.signature(host.forward).parameters.values()]
    several = [kind for kind in kinds if kind in _BY_PLACE]
    alone = len(several) == 1 and inspect.Parameter.VAR_POSITIONAL not in kinds
    return apply_before if alone else apply_before_first


_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _hooks(module: nn.Module) -> list[tuple[dict[int, object], int]]:
    """Our hooks of a module: where they are and under which number."""
    ours = {apply_after, *BEFORE_HOOKS}
    tables = (module._forward_hooks, module._forward_pre_hooks)
    return [(table, key) for table in tables for key, hook in table.items() if hook in ours]  # type: ignore[misc]


def _in_order(host: nn.Module) -> nn.Sequential:
    for table, key in _hooks(host):
        del table[key]
    parts: OrderedDict[str, nn.Module] = OrderedDict(module=host)
    for name, first in ((BEFORE_AS, True), (ATTACHED_AS, False)):
        if name in host._modules:
            parts[name] = host.get_submodule(name)
            parts.move_to_end(name, last=not first)
            delattr(host, name)
    return nn.Sequential(parts).train(host.training)


def _put(net: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(net.get_submodule(parent), name, module)
