"""The one place where attention meets a backbone: insertion, initialisation and fingerprint."""

from __future__ import annotations

import inspect

import torch
from torch import nn

from ablate.attention import ATTENTION, Attention
from ablate.backbones import make_backbone
from ablate.errors import OptionError, PlacementError
from ablate.insert import insert, plain_network
from ablate.placement import Target, find_targets
from ablate.study import Variant, stream_seed
from ablate.study.position import AFTER
from ablate.system.digest import digest
from ablate.system.text import one_line
from ablate.trace import Uninitialised, record_outputs, seeded

__all__ = ["build", "build_outline", "find_targets", "fingerprint", "plain_network"]


def build(variant: Variant, classes: int, image_size: int, seed: int) -> nn.Module:
    """The network of a variant on the CPU, initialised from common random numbers.

    The backbone's weights depend on the seed alone, each attention module's on the seed and its
    path: variants of one seed differ only where they are different networks.

    Raises:
        PlacementError: the position matches nothing, or something that cannot carry attention.
        OptionError: the options do not fit the channels that were found.
    """
    targets = find_targets(variant, classes, image_size)
    with seeded(stream_seed(seed, "backbone")):
        net = make_backbone(variant.backbone, classes)
    for target in targets:
        how = () if target.how == AFTER else (target.how,)
        with seeded(stream_seed(seed, "attention", *how, target.path)):
            insert(net, target, _make_attention(variant, target))
    return net


def build_outline(variant: Variant, classes: int, image_size: int) -> nn.Module:
    """The same network with weights that are not drawn: for its structure and shapes.

    Raises:
        PlacementError: as `build` does, and if the network runs attention other than exactly once.
    """
    targets = find_targets(variant, classes, image_size)
    with Uninitialised(), seeded(0):
        net = make_backbone(variant.backbone, classes)
        for target in targets:
            insert(net, target, _make_attention(variant, target))
    _check_calls(net.eval(), variant, targets, image_size)
    return net.train()


def fingerprint(net: nn.Module, image_size: int) -> str:
    """A hash of the built network: kinds, structure, settings and shapes, but neither weights nor names
    of options. Options that build the same network have one fingerprint.

    Of classes that are neither torch's nor ours, whose settings may show nowhere else, the plain
    attributes count too, and of a user's own classes the source: an edited forward is another network.
    """
    modules = [
        (path, f"{type(module).__module__}.{type(module).__qualname__}", module.extra_repr())
        for path, module in net.named_modules()
    ]
    tensors = [(name, _form(value)) for name, value in net.state_dict().items()]
    foreign = {
        p: _settings(m) for p, m in net.named_modules() if _room(m) not in {"torch", "ablate"}
    }
    own = {type(m) for m in net.modules() if _room(m) not in {"torch", "torchvision", "ablate"}}
    extra: dict[str, object] = {"settings": foreign} if foreign else {}
    extra |= {"sources": sorted(map(_source, own))} if own else {}
    return digest({"modules": modules, "tensors": tensors, "image_size": image_size, **extra})


def _form(value: object) -> object:
    return list(value.shape) if isinstance(value, torch.Tensor) else repr(value)  # an extra state


def _room(module: nn.Module) -> str:
    return type(module).__module__.partition(".")[0]


def _settings(module: nn.Module) -> dict[str, object]:
    plain = (bool, int, float, str)
    named = {k: v for k, v in vars(module).items() if not k.startswith("_") and k != "training"}
    return {key: value for key, value in named.items() if isinstance(value, plain)}


def _source(kind: type[nn.Module]) -> str:
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        return kind.__qualname__  # made while running: its name is all there is


def _check_calls(
    net: nn.Module, variant: Variant, targets: tuple[Target, ...], image_size: int
) -> None:
    """Run a network with attention once: a module may treat a new child in ways of its own."""
    if not targets:
        return
    outputs, error = record_outputs(net, image_size, image_size)
    if error is not None:
        raise PlacementError(
            f"{variant.backbone} fails with {variant.name}: {one_line(error)}; name other modules"
        )
    for target in targets:
        calls = len(outputs[target.attached])
        if calls != 1:
            raise PlacementError(
                f"{variant.backbone} calls attention {target.words} {calls} times: name another module"
            )


def _make_attention(variant: Variant, target: Target) -> Attention:
    try:
        return ATTENTION[variant.attention](target.shape[0], **variant.options_at(target.part))
    except OptionError as error:
        raise OptionError(f"{variant.name} at {target.path!r}: {error}") from None
