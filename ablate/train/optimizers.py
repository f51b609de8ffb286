"""The optimizers that a recipe can name, with the settings that go by that name here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

import torch
from torch import nn, optim

from ablate.errors import unknown

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


OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "adam": _without_compiler(optim.Adam),
    "adamw": partial(_without_compiler(optim.AdamW), weight_decay=0.01),
    "sgd": partial(_without_compiler(optim.SGD), momentum=0.9, nesterov=True),
}


def make_optimizer(
    name: str, parameters: Iterable[nn.Parameter], learning_rate: float
) -> optim.Optimizer:
    """The optimizer of that name, in its fused form; on a GPU ready to be captured in a CUDA graph,
    with a learning rate that is a tensor on the device.

    Raises:
        UnknownNameError: no such optimizer.
    """
    check_optimizer(name)
    listed = list(parameters)
    device = listed[0].device
    if device.type != "cuda":
        return OPTIMIZERS[name](listed, lr=learning_rate, fused=True)
    # The fused forms of Adam count their steps on the device; fused SGD counts none.
    capturable = {} if name == "sgd" else {"capturable": True}
    rate = torch.tensor(learning_rate, device=device)
    return OPTIMIZERS[name](listed, lr=rate, fused=True, **capturable)


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
