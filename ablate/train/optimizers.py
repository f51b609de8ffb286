"""The optimizers that a recipe can name, with the settings that go by that name here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from torch import nn, optim

from ablate.errors import unknown

OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "adam": optim.Adam,
    "adamw": partial(optim.AdamW, weight_decay=0.01),
    "sgd": partial(optim.SGD, momentum=0.9, nesterov=True),
}


def make_optimizer(
    name: str, parameters: Iterable[nn.Parameter], learning_rate: float
) -> optim.Optimizer:
    """The optimizer of that name, in its fused form.

    Raises:
        UnknownNameError: no such optimizer.
    """
    check_optimizer(name)
    return OPTIMIZERS[name](parameters, lr=learning_rate, fused=True)


def check_optimizer(name: str) -> None:
    """Raises:
    UnknownNameError: no such optimizer.
    """
    if name not in OPTIMIZERS:
        raise unknown("optimizer", name, OPTIMIZERS)
