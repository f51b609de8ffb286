"""Where a training step goes without a profiler: every layer timed by itself on its real input.

A profiler slows small operators, and on a CPU the large ones too. Here each layer's forward and
backward are timed alone, interleaved with the whole step, with one thread; what is left of the step
is autograd, casts, the loss and Python.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch
from torch import nn

from ablate.attention import Attention, fusable, use_kernels
from ablate.system.hardware.machine import prepare_machine
from ablate.train.step import Trainer, make_trainer
from benchmarks.field import IMAGE_SIZE, RECIPE
from benchmarks.options import Options, watch

FAMILIES: dict[type[nn.Module], str] = {
    nn.Conv2d: "convolutions",
    nn.BatchNorm2d: "batch norm",
    nn.ReLU: "ReLU",
    nn.MaxPool2d: "max pool",
    nn.Linear: "linear layers",
    nn.Dropout: "dropout",
}
MATRIX = 1024
REPEATS = 3


def measure_parts(options: Options) -> dict[str, Any]:
    """Milliseconds and shares of a step of each network, by kind of layer; and how near the
    convolutions are to what this core multiplies at most.
    """
    return {attention: _measure(options, attention) for attention in options.attention}


def _measure(options: Options, attention: str) -> dict[str, Any]:
    machine = prepare_machine("cpu", RECIPE.precision)
    device, precision = machine.device, machine.precision
    net = options.field(attention).net().train()
    use_kernels(net, {} if precision.exact else dict.fromkeys(fusable(), "fused"))
    trainer = make_trainer(net, RECIPE, device, precision)
    batch = (
        torch.randn(RECIPE.batch_size, 3, IMAGE_SIZE, IMAGE_SIZE),
        torch.randint(0, 10, (RECIPE.batch_size,)),
    )
    trainer.step(batch)
    works = _layers(trainer, batch[0])
    works["optimizer"] = [trainer.optimizer.step]
    works["whole step"] = [lambda: trainer.step(batch)]
    works["matrix product"] = [_product(precision.dtype or torch.float32)]
    ms = _timed(works, options.rounds)
    whole, product = ms.pop("whole step"), ms.pop("matrix product")
    ms["the rest"] = whole - sum(ms.values())
    macs = _macs(trainer.net, batch[0])
    return {
        "whole_step_ms": whole,
        "ms": ms,
        "share": {name: own / whole for name, own in ms.items()},
        "convolutions_of_peak": (macs / ms["convolutions"]) / (MATRIX**3 / product),
    }


def _timed(works: dict[str, list[Callable[[], object]]], rounds: int) -> dict[str, float]:
    """The median time of each work, all of them once in every round."""
    times: dict[str, list[float]] = defaultdict(list)
    seen = watch("parts")
    for number in range(rounds + 1):
        for name, calls in works.items():
            started = perf_counter()
            for call in calls:
                for _ in range(REPEATS):
                    call()
            times[name].append(1e3 * (perf_counter() - started) / REPEATS)
        seen(number + 1, rounds + 1)
    # The first round warms up.
    return {name: statistics.median(own[1:]) for name, own in times.items()}


def _family(layer: nn.Module) -> str:
    """The kind of a layer; "" for one that only holds others."""
    return "attention" if isinstance(layer, Attention) else FAMILIES.get(type(layer), "")


def _inputs(net: nn.Module, images: torch.Tensor) -> dict[nn.Module, torch.Tensor]:
    """What each layer gets in a real forward; parts of an attention module that is timed whole are
    not called when it is fused."""
    inputs: dict[nn.Module, torch.Tensor] = {}
    hooks = [
        layer.register_forward_pre_hook(lambda own, given: inputs.setdefault(own, given[0]))
        for layer in net.modules()
        if _family(layer)
    ]
    net(images)
    for hook in hooks:
        hook.remove()
    return inputs


def _layers(trainer: Trainer, images: torch.Tensor) -> dict[str, list[Callable[[], object]]]:
    """Forward and backward of each layer by itself, by family."""
    works: dict[str, list[Callable[[], object]]] = defaultdict(list)
    with trainer.precision.autocast(trainer.device):
        images = images.contiguous(memory_format=trainer.precision.memory_format)
        inputs = _inputs(trainer.net, images)
    for layer, given in inputs.items():
        works[_family(layer)].append(_alone(trainer, layer, given is images, given))
    return dict(works)


def _alone(
    trainer: Trainer, layer: nn.Module, first: bool, given: torch.Tensor
) -> Callable[[], object]:
    x = given.detach().clone(memory_format=torch.preserve_format).requires_grad_(not first)

    parameters = list(layer.parameters(recurse=isinstance(layer, Attention)))

    def both() -> None:
        with trainer.precision.autocast(trainer.device):
            y = layer.forward(x)  # without the hooks that place attention behind it
        wanted = [t for t in (x, *parameters) if t.requires_grad]
        torch.autograd.grad(y, wanted, y.detach())

    return both


def _product(dtype: torch.dtype) -> Callable[[], object]:
    a, b = (torch.randn(MATRIX, MATRIX).to(dtype) for _ in range(2))
    return lambda: a @ b


def _macs(net: nn.Module, images: torch.Tensor) -> int:
    """Multiply-adds of the convolutions, forward and backward; the images get no gradient."""
    inputs = _inputs(net, images)
    return sum(
        (2 if given is images else 3)
        * (given.shape[0] * given.shape[2] * given.shape[3] * layer.weight.numel())
        for layer, given in inputs.items()
        if isinstance(layer, nn.Conv2d)
    )
