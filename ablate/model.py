"""The one place where attention meets a backbone: placement, initialisation and fingerprint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ablate.attention import ATTENTION, Attention
from ablate.backbones import make_backbone
from ablate.errors import OptionError, PlacementError
from ablate.study import NO_ATTENTION, Variant, digest, stream_seed

Shape = tuple[int, ...]

ATTACHED_AS = "attention"
"""The name under which an attention module hangs below the module whose output it reweights."""


def build(variant: Variant, classes: int, image_size: int, seed: int) -> nn.Module:
    """The network of a variant on the CPU, initialised from common random numbers.

    The backbone's weights depend on the seed alone, each attention module's on the seed and its
    path: variants of one seed differ only where they are different networks.

    Raises:
        PlacementError: the position matches nothing, or something that cannot carry attention.
        OptionError: the options do not fit the channels that were found.
    """
    targets = find_targets(variant, classes, image_size)
    with _seeded(stream_seed(seed, "backbone")):
        net = make_backbone(variant.backbone, classes)
    for path, shape in targets.items():
        with _seeded(stream_seed(seed, "attention", path)):
            _attach(net, path, _make_attention(variant, path, shape[0]))
    return net


def build_outline(variant: Variant, classes: int, image_size: int) -> nn.Module:
    """The same network with whatever weights lie in memory: for its structure and shapes."""
    targets = find_targets(variant, classes, image_size)
    with _Uninitialised(), _seeded(0):
        net = make_backbone(variant.backbone, classes)
        for path, shape in targets.items():
            _attach(net, path, _make_attention(variant, path, shape[0]))
    return net


def fingerprint(net: nn.Module, image_size: int) -> str:
    """A hash of the built network: kinds, structure, settings and shapes, but neither weights nor names
    of options. Options that build the same network have one fingerprint.
    """
    modules = [
        (path, f"{type(module).__module__}.{type(module).__qualname__}", module.extra_repr())
        for path, module in net.named_modules()
    ]
    tensors = [(name, list(tensor.shape)) for name, tensor in net.state_dict().items()]
    return digest({"modules": modules, "tensors": tensors, "image_size": image_size})


def find_targets(variant: Variant, classes: int, image_size: int) -> dict[str, Shape]:
    """The module paths that a variant's position names, each with its output's (C, H, W).

    A position is globs over module paths, joined by `+`; `*` stays within one part of a path.

    Raises:
        PlacementError: with the list of the paths that can be used.
    """
    outputs = trace_outputs(variant.backbone, classes, image_size)
    if variant.attention == NO_ATTENTION or variant.position is None:
        return {}
    usable = {path: shapes[0][1:] for path, shapes in outputs.items() if not _unusable(shapes)}
    found: set[str] = set()
    for pattern in variant.position.split("+"):
        matches = [path for path in outputs if _matches(path, pattern.strip())]
        problems = [f"{p!r} {_unusable(outputs[p])}" for p in matches if _unusable(outputs[p])]
        if problems or not matches:
            what = problems[0] if problems else f"position {pattern!r} matches no module"
            raise PlacementError(
                f"{variant.backbone}: {what}; attention can go after: {', '.join(usable)}"
            )
        found.update(matches)
    return {path: shape for path, shape in usable.items() if path in found}


@lru_cache(maxsize=8)
def trace_outputs(backbone: str, classes: int, image_size: int) -> dict[str, list[Shape]]:
    """For every module below the root the shapes of its outputs in one forward of one black image.

    A module that is never called has an empty list; an output that is no tensor has the shape ().

    Raises:
        PlacementError: the backbone cannot take images of that size.
    """
    with _Uninitialised(), _seeded(0):
        net = make_backbone(backbone, classes).eval()
    outputs: dict[str, list[Shape]] = {p: [] for p, _ in net.named_modules() if p}
    handles = [
        module.register_forward_hook(
            lambda _m, _i, out, path=path: outputs[path].append(
                tuple(out.shape) if isinstance(out, torch.Tensor) else ()
            )
        )
        for path, module in net.named_modules()
        if path
    ]
    try:
        with torch.no_grad():
            net(torch.zeros(1, 3, image_size, image_size))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise PlacementError(
            f"{backbone} cannot take {image_size}×{image_size} images: {reason}"
        ) from None
    finally:
        for handle in handles:
            handle.remove()
    return outputs


class _Uninitialised(TorchFunctionMode):
    """Skips drawing random weights, most of the time that building a large network takes.

    The meta device would skip the memory too, but its rules load the compiler: 3.6 s at every start.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _RANDOM_FILLS:
            return args[0]
        return func(*args, **(kwargs or {}))


_RANDOM_FILLS = {torch.Tensor.uniform_, torch.Tensor.normal_, torch.Tensor.random_}


def _unusable(shapes: list[Shape]) -> str | None:
    """Why attention cannot follow a module with these outputs, or None if it can."""
    if not shapes:
        return "is never called"
    if len(shapes) > 1:
        return f"is called {len(shapes)} times, so attention after it would be shared"
    if len(shapes[0]) != 4:
        return f"gives {shapes[0] or 'no tensor'}, not (N, C, H, W)"
    return None


def _matches(path: str, pattern: str) -> bool:
    parts, globs = path.split("."), pattern.split(".")
    return len(parts) == len(globs) and all(map(fnmatchcase, parts, globs))


def _make_attention(variant: Variant, path: str, channels: int) -> Attention:
    try:
        return ATTENTION[variant.attention](channels, **dict(variant.options))
    except OptionError as error:
        raise OptionError(f"{variant.name} at {path!r}: {error}") from None


def _attach(net: nn.Module, path: str, attention: Attention) -> None:
    """Hang attention below the module at `path`, to act on its output.

    The backbone's own paths and `state_dict` keys stay as they are. A plain Sequential runs its
    children in order, so there the attention is simply the last child; elsewhere a hook calls it.
    """
    target = net.get_submodule(path)
    if hasattr(target, ATTACHED_AS):
        raise PlacementError(f"{path!r} has an attribute {ATTACHED_AS!r} of its own already")
    target.add_module(ATTACHED_AS, attention)
    if type(target).forward is not nn.Sequential.forward:
        target.register_forward_hook(_apply_attention)


def _apply_attention(module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
    # A module-level function, so that the network can still be pickled and deep-copied.
    gated: torch.Tensor = module.get_submodule(ATTACHED_AS)(output)
    return gated


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """torch's global CPU generator seeded for a moment: modules initialise themselves from it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
