"""What a network must be before and after a step for its runs to be what their variants say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ablate.backbones import is_own
from ablate.errors import PlacementError
from ablate.model import build
from ablate.network.kept import no_tensors
from ablate.placement import Target
from ablate.study import Recipe, Variant
from ablate.study.position import REPLACE
from ablate.system.hardware.machine import Machine
from ablate.system.process.randomness import seeded
from ablate.system.software.imports import prints_to_stderr
from ablate.train.step import Trainer

SEED = 1
FEWEST_CHANNELS = 16
"""Of a 1×1 convolution with a stride on channels-last maps: with fewer (without AVX-512, below 8) oneDNN
writes beyond its memory."""


@dataclass(frozen=True)
class StepAsked:
    """What is proven of a variant: steps on batches of these sizes, under a recipe on a machine."""

    variant: Variant
    classes: int
    image_size: int
    batch_sizes: tuple[int, ...]
    recipe: Recipe
    machine: Machine


def name_of(asked: StepAsked) -> str:
    """As errors call what is proven."""
    variant = asked.variant
    return f"{variant.backbone} with {variant.name}"


def meet_onednn(net: nn.Module, asked: StepAsked) -> None:
    """Refuse what crashes the process: oneDNN writes beyond its memory for these convolutions.

    Raises:
        PlacementError: the network has one, in mixed precision on a CPU.
    """
    if path := find_overflow(net, asked.machine):
        conv: nn.Conv2d = net.get_submodule(path)  # type: ignore[assignment]
        raise PlacementError(
            f"{name_of(asked)}: {path!r} is a 1×1 convolution with stride {conv.stride} of "
            f"{conv.in_channels} channels, on which mixed precision crashes on a CPU "
            '(oneDNN issue 6035): set recipe.precision to "fp32"'
        )


def find_overflow(net: nn.Module, machine: Machine) -> str | None:
    """The path of a convolution on which this machine crashes in this precision, None without any."""
    if machine.is_gpu or machine.precision.memory_format is not torch.channels_last:
        return None
    modules = net.named_modules()
    return next((p for p, m in modules if isinstance(m, nn.Conv2d) and _overflows(m)), None)


def check_alone(net: nn.Module, asked: StepAsked, targets: Sequence[Target]) -> None:
    """With attention that gives back what it gets a network must be its backbone: a user's forward may count
    its modules, or walk through them, and meet attention there too."""
    own = is_own(asked.variant.backbone)
    if not own or not targets or any(target.how == REPLACE for target in targets):
        return
    inserted = [net.get_submodule(target.attached) for target in targets]
    for module in inserted:
        module.forward = _given_back
    try:
        found = _first_logits(net, asked)
    finally:
        for module in inserted:
            del module.forward
    plain, again = (_first_logits(_plain(asked), asked) for _ in range(2))
    if _alike(plain, again) and not _alike(plain, found):
        raise PlacementError(
            f"{name_of(asked)}: attention {targets[0].words} changes more than what it reweights: where it "
            "gives back what it gets the logits are not the backbone's; does its forward count its modules, "
            "or take one by its place?"
        )


def _plain(asked: StepAsked) -> nn.Module:
    return build(Variant(asked.variant.backbone), asked.classes, asked.image_size, SEED)


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.allclose(one, other, equal_nan=True)


def _given_back(x: torch.Tensor) -> torch.Tensor:
    return x


def _first_logits(net: nn.Module, asked: StepAsked) -> torch.Tensor:
    """In evaluation, before a step."""
    side, generator = asked.image_size, torch.Generator().manual_seed(SEED)
    images = torch.randn(2, 3, side, side, generator=generator)
    with torch.no_grad(), seeded(SEED), prints_to_stderr():
        logits: torch.Tensor = net.eval()(images)
    net.train()
    return logits


def check_stepped(trainer: Trainer, asked: StepAsked) -> None:
    """Refuse parameters that a forward has made: the optimizer, which is made before, never steps them."""
    known = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    for name, parameter in trainer.net.named_parameters():
        if parameter.requires_grad and id(parameter) not in known:
            raise PlacementError(
                f"{name_of(asked)}: a forward makes or replaces its {name!r}, which is then never trained: "
                "make it in the constructor"
            )


def check_kept(net: nn.Module, asked: StepAsked) -> None:
    """Refuse a state that neither checkpoints nor files of weights hold, which have tensors alone."""
    for name in no_tensors(net):
        raise PlacementError(
            f"{name_of(asked)}: its state_dict has {name!r}, which is no tensor and would be lost with each "
            "checkpoint: give it as a tensor, or keep it in a buffer"
        )


def _overflows(conv: nn.Conv2d) -> bool:
    pointwise = conv.kernel_size == (1, 1) and max(map(int, conv.stride)) > 1
    return pointwise and conv.in_channels // conv.groups < FEWEST_CHANNELS
