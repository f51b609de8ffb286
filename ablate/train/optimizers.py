"""The optimizers that a recipe can name, with the settings that go by that name here."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn, optim

from ablate.errors import unknown
from ablate.study import Recipe

Kind = TypeVar("Kind", bound=optim.Optimizer)


def _without_compiler(kind: type[Kind]) -> type[Kind]:
    """The same optimizer, for steps that nobody compiles.

    torch marks some methods for its compiler and loads it when they are first called: as long as loading
    torch itself, in every process. What it marks is called directly here.
    """
    marked = ("add_param_group", "state_dict", "load_state_dict", "zero_grad")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in marked}
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), methods)


_Adam = _without_compiler(optim.Adam)
_AdamW = _without_compiler(optim.AdamW)
_SGD = _without_compiler(optim.SGD)

Rate = float | torch.Tensor
Factory = Callable[[nn.Module, Recipe, Rate], optim.Optimizer]
"""Makes the optimizer of a network, which may put its parameters into groups, in its fused form."""


def adam(net: nn.Module, _recipe: Recipe, rate: Rate) -> optim.Optimizer:
    """Kingma and Ba 2015, arXiv 1412.6980."""
    return _Adam(net.parameters(), lr=rate, fused=True, capturable=_on_gpu(net))


def adamw(net: nn.Module, _recipe: Recipe, rate: Rate) -> optim.Optimizer:
    """Loshchilov and Hutter 2019, arXiv 1711.05101, with a weight decay of 0.01."""
    return _AdamW(net.parameters(), lr=rate, weight_decay=0.01, fused=True, capturable=_on_gpu(net))


def sgd(net: nn.Module, _recipe: Recipe, rate: Rate) -> optim.Optimizer:
    """Nesterov momentum of 0.9 (Sutskever et al. 2013). Fused SGD counts no steps: it can be captured."""
    return _SGD(net.parameters(), lr=rate, momentum=0.9, nesterov=True, fused=True)


OPTIMIZERS: dict[str, Factory] = {"adam": adam, "adamw": adamw, "sgd": sgd}


def make_optimizer(net: nn.Module, recipe: Recipe) -> optim.Optimizer:
    """The recipe's optimizer for a network; on a GPU ready to be captured in a CUDA graph, with a learning
    rate that is a tensor () on the device.

    Raises:
        UnknownNameError: no such optimizer.
    """
    check_optimizer(recipe.optimizer)
    rate: Rate = recipe.learning_rate
    if _on_gpu(net):
        rate = torch.tensor(rate, device=next(net.parameters()).device)
    return OPTIMIZERS[recipe.optimizer](net, recipe, rate)


def _on_gpu(net: nn.Module) -> bool:
    return next(net.parameters()).is_cuda


def set_learning_rate(optimizer: optim.Optimizer, learning_rate: float | torch.Tensor) -> None:
    """Set the learning rate of the next step; a tensor is filled in place, for graphs that read it.

    One given as a tensor () on the device is never waited for.
    """
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(learning_rate)
        else:
            group["lr"] = learning_rate


def check_optimizer(name: str) -> None:
    """Raises:
    UnknownNameError: no such optimizer.
    """
    if name not in OPTIMIZERS:
        raise unknown("optimizer", name, OPTIMIZERS)
