"""The optimizers that a recipe can name, with the settings that go by that name here."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn, optim

from ablate.study import Recipe
from ablate.study.names import check_optimizer
from ablate.study.trained import frozen_paths, rate_of
from ablate.train.frozen import attention_paths, is_below, modules_of
from ablate.train.muon import Muon

T = TypeVar("T")
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
Groups = list[dict[str, Any]]
Factory = Callable[[nn.Module, Recipe, Rate], optim.Optimizer]
"""Makes the optimizer of a network, in its fused form."""


def adam(net: nn.Module, recipe: Recipe, rate: Rate) -> optim.Optimizer:
    """Kingma and Ba 2015, arXiv 1412.6980. `weight_decay` is added to the gradient."""
    groups = _groups(net, recipe, rate, recipe.weight_decay or 0.0)
    return _Adam(groups, lr=rate, betas=_betas(recipe), fused=True, capturable=_on_gpu(net))


def adamw(net: nn.Module, recipe: Recipe, rate: Rate) -> optim.Optimizer:
    """Loshchilov and Hutter 2019, arXiv 1711.05101, with a weight decay of 0.01 unless set."""
    groups = _groups(net, recipe, rate, _or(recipe.weight_decay, 0.01))
    return _AdamW(groups, lr=rate, betas=_betas(recipe), fused=True, capturable=_on_gpu(net))


def sgd(net: nn.Module, recipe: Recipe, rate: Rate) -> optim.Optimizer:
    """Nesterov momentum of 0.9 unless set (Sutskever et al. 2013). Fused SGD counts no steps: it can be
    captured. `weight_decay` is added to the gradient.
    """
    momentum = _or(recipe.momentum, 0.9)
    nesterov = _or(recipe.nesterov, momentum > 0)
    groups = _groups(net, recipe, rate, recipe.weight_decay or 0.0)
    made = _SGD(groups, lr=rate, momentum=momentum, nesterov=nesterov, fused=True)
    if momentum > 0:
        # torch makes it of memory as it lies, and leaves it so where the first gradients overflow in fp16.
        for group in made.param_groups:
            for parameter in group["params"]:
                made.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return made


def muon(net: nn.Module, recipe: Recipe, rate: Rate) -> optim.Optimizer:
    """Jordan et al. 2024 for the weights of hidden layers, with a momentum of 0.95 and a weight decay of 0.1
    unless set; AdamW for the first and the last layer, biases and norms, at the same learning rate.
    """
    hidden = _hidden_weights(net)
    groups = _groups(net, recipe, rate, _or(recipe.weight_decay, 0.1), apart=hidden)
    for group in groups:
        group |= {"momentum": _or(recipe.momentum, 0.95), "nesterov": _or(recipe.nesterov, True)}
        group |= {
            "betas": _betas(recipe),
            "orthogonal": all(id(p) in hidden for p in group["params"]),
        }
    return Muon(groups, rate)


OPTIMIZERS: dict[str, Factory] = {"adam": adam, "adamw": adamw, "sgd": sgd, "muon": muon}


def make_optimizer(net: nn.Module, recipe: Recipe) -> optim.Optimizer:
    """The recipe's optimizer for a network; on a GPU ready to be captured in a CUDA graph, with a learning
    rate that is a tensor () on the device.

    Raises:
        UnknownNameError: no such optimizer.
        StudyError: a key that it does not know.
    """
    check_optimizer(recipe)
    rate: Rate = recipe.learning_rate
    if _on_gpu(net):
        rate = torch.tensor(rate, device=next(net.parameters()).device)
    return OPTIMIZERS[recipe.optimizer](net, recipe, rate)


def _groups(
    net: nn.Module,
    recipe: Recipe,
    rate: Rate,
    weight_decay: float,
    apart: frozenset[int] = frozenset(),
) -> Groups:
    """The parameters by what is done with them, in the network's order: one group where that is the same.

    Norms and biases are the parameters of one dimension (Goyal et al. 2017, arXiv:1706.02677, section 5.3).
    A group whose learning rate is not the recipe's has a `rate_factor`, and a rate of its own. What is frozen
    in other phases is another group: fused SGD wants momentum of all of a group or of none.
    """
    bare = recipe.no_decay_on == "norm_and_bias"
    inserted, modules = attention_paths(net), modules_of(net)
    frozen = [frozen_paths(modules, recipe.frozen_in(epoch)) for epoch in recipe.first_epochs]
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for name, parameter in net.named_parameters():
        path = name.rpartition(".")[0]
        factor = recipe.attention_rate if is_below(path, inserted) else rate_of(path, recipe.rates)
        when = tuple(path in phase for phase in frozen)
        kind = bare and parameter.dim() <= 1, id(parameter) in apart, factor, when
        decay = 0.0 if kind[0] else weight_decay
        group = found.setdefault(kind, {"params": [], "weight_decay": decay, **_own(rate, factor)})
        group["params"].append(parameter)
    return list(found.values())


def _own(rate: Rate, factor: float) -> dict[str, Any]:
    """A rate that is a tensor is filled in place: one that differs needs a tensor of its own."""
    return {} if factor == 1 else {"lr": rate * factor, "rate_factor": factor}


def _hidden_weights(net: nn.Module) -> frozenset[int]:
    """The identities of the weights of two dimensions and more, without the backbone's first and last:
    attention before the one or behind the other makes no hidden layer of it, as it is none in a baseline.
    """
    inserted = attention_paths(net)
    weights = [each for each in net.named_parameters() if each[1].dim() >= 2]
    own = [p for name, p in weights if not is_below(name.rpartition(".")[0], inserted)]
    ends = {id(weight) for weight in own[:1] + own[-1:]}
    return frozenset(id(weight) for _, weight in weights if id(weight) not in ends)


def _betas(recipe: Recipe) -> tuple[float, float]:
    return _or(recipe.betas, (0.9, 0.999))


def _or(value: T | None, default: T) -> T:
    return default if value is None else value


def _on_gpu(net: nn.Module) -> bool:
    return next(net.parameters()).is_cuda


def set_learning_rate(optimizer: optim.Optimizer, learning_rate: float | torch.Tensor) -> None:
    """Set the learning rate of the next step, times the factor of each group; a tensor is filled in place,
    for graphs that read it.

    One given as a tensor () on the device is never waited for.
    """
    for group in optimizer.param_groups:
        factor = group.get("rate_factor", 1.0)
        # A recipe's own rate is not multiplied, and so is the same to the last bit.
        rate = learning_rate if factor == 1 else learning_rate * factor
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
