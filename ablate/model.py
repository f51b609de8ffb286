"""The one place where attention meets a backbone: insertion, initialisation and fingerprint."""

from __future__ import annotations

import inspect

import torch
from torch import nn

from ablate.attention import ATTENTION, Attention
from ablate.errors import OptionError, PlacementError
from ablate.networks import Uninitialised, make_network
from ablate.placement import (
    Shape,
    find_targets,
    part_of,
    record_outputs,
    trace_outputs,
)
from ablate.result.architecture import ATTACHED_AS
from ablate.study import Variant, stream_seed
from ablate.system.digest import digest
from ablate.system.randomness import seeded
from ablate.system.text import one_line

__all__ = [
    "Shape",
    "build",
    "build_outline",
    "find_targets",
    "fingerprint",
    "trace_outputs",
]


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
        net = make_network(variant.backbone, classes)
    for path, shape in targets.items():
        with seeded(stream_seed(seed, "attention", path)):
            _attach(net, path, _make_attention(variant, path, shape[0]))
    return net


def build_outline(variant: Variant, classes: int, image_size: int) -> nn.Module:
    """The same network with weights that are not drawn: for its structure and shapes.

    Raises:
        PlacementError: as `build` does, and if the network runs attention other than exactly once.
    """
    targets = find_targets(variant, classes, image_size)
    with Uninitialised(), seeded(0):
        net = make_network(variant.backbone, classes)
        for path, shape in targets.items():
            _attach(net, path, _make_attention(variant, path, shape[0]))
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
    tensors = [(name, list(tensor.shape)) for name, tensor in net.state_dict().items()]
    foreign = {
        p: _settings(m) for p, m in net.named_modules() if _room(m) not in {"torch", "ablate"}
    }
    own = {type(m) for m in net.modules() if _room(m) not in {"torch", "torchvision", "ablate"}}
    extra: dict[str, object] = {"settings": foreign} if foreign else {}
    extra |= {"sources": sorted(map(_source, own))} if own else {}
    return digest({"modules": modules, "tensors": tensors, "image_size": image_size, **extra})


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
    net: nn.Module, variant: Variant, targets: dict[str, Shape], image_size: int
) -> None:
    """Run a network with attention once: a module may treat a new child in ways of its own."""
    if not targets:
        return
    outputs, error = record_outputs(net, image_size, image_size)
    if error is not None:
        raise PlacementError(
            f"{variant.backbone} fails with {variant.name}: {one_line(error)}; name other modules"
        )
    for path in targets:
        calls = len(outputs[f"{path}.{ATTACHED_AS}"])
        if calls != 1:
            raise PlacementError(
                f"{variant.backbone} calls attention after {path!r} {calls} times: name another module"
            )


def _make_attention(variant: Variant, path: str, channels: int) -> Attention:
    options = variant.options_at(part_of(str(variant.position), path))
    try:
        return ATTENTION[variant.attention](channels, **options)
    except OptionError as error:
        raise OptionError(f"{variant.name} at {path!r}: {error}") from None


def _attach(net: nn.Module, path: str, attention: Attention) -> None:
    """Hang attention below the module at `path`, to act on its output.

    The backbone's own paths and `state_dict` keys stay as they are. A plain Sequential runs its
    children in order, so there the attention is simply the last child; elsewhere a hook calls it.
    """
    target = net.get_submodule(path)
    target.add_module(ATTACHED_AS, attention)
    if type(target).forward is not nn.Sequential.forward:
        target.register_forward_hook(_apply_attention)


def _apply_attention(module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
    # A module-level function, so that the network can still be pickled and deep-copied.
    gated: torch.Tensor = module.get_submodule(ATTACHED_AS)(output)
    return gated
