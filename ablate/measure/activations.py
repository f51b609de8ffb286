"""One forward with temporary hooks: feature maps, and what each attention module did to its input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from ablate.attention.base import Attention
from ablate.errors import unknown
from ablate.measure.gates import infer_gate
from ablate.result.maps import Array, Gate, Seen, spread
from ablate.study.position import matches_glob
from ablate.system.process.randomness import seeded

MAX_LAYERS = 6
"""Layers that are shown when nobody says which."""

Calls = dict[str, list[torch.Tensor]]


def capture(net: nn.Module, images: torch.Tensor, layers: Sequence[str] = ()) -> Seen:
    """What happens in a network, in evaluation mode; afterwards it is as it was before.

    Shape: images (N, 3, H, W), normalised; the maps are (N, C, H, W).

    Raises:
        UnknownNameError: a layer that is no module with exactly one such output.
    """
    attention = _attention(net)
    parts = {path: _parts(path, module) for path, module in attention.items()}
    gated = [p for path, inner in parts.items() for p in (path, *inner)]
    with _watching(net, {*layers, *gated}, gated) as (arrived, left), _quietly():
        output = net(images.to(next(net.parameters()).device))
    usable = [path for path, outputs in left.items() if _is_map(outputs)]
    for path in layers:
        if path not in usable:
            raise unknown("layer", path, usable)
    return Seen(
        output=_array(output),
        maps={path: left[path][0].numpy() for path in layers},
        gates=tuple(
            _gate(path, attention[path], parts[path], arrived, left)
            for path in attention
            if left[path]
        ),
    )


def layer_shapes(net: nn.Module, image_size: int) -> dict[str, tuple[int, ...]]:
    """The layers that have a feature map, in the order in which they run, each with (C, H, W).

    Left out: what is called more than once or not at all, and the insides of attention.
    """
    inside = tuple(f"{path}." for path in _attention(net))
    paths = [p for p, _ in net.named_modules() if p and not p.startswith(inside)]
    with _watching(net, paths, ()) as (_, left), _quietly():
        net(torch.zeros(1, 3, image_size, image_size, device=next(net.parameters()).device))
    return {path: tuple(out[0].shape[1:]) for path, out in left.items() if _is_map(out)}


def find_layers(net: nn.Module, image_size: int, patterns: Sequence[str] = ()) -> list[str]:
    """The layers that globs over module paths name; without globs, `main_layers`.

    Raises:
        UnknownNameError: a glob that matches no layer with a feature map; lists those.
    """
    shapes = layer_shapes(net, image_size)
    if not patterns:
        return main_layers(shapes)
    found: set[str] = set()
    for pattern in patterns:
        matches = [path for path in shapes if matches_glob(path, pattern)]
        if not matches:
            raise unknown("layer", pattern, shapes)
        found.update(matches)
    return [path for path in shapes if path in found]


def main_layers(shapes: dict[str, tuple[int, ...]]) -> list[str]:
    """The last layer of each shape: what a stage hands on. At most six, from shallow to deep."""
    last = {shape: path for path, shape in shapes.items() if shape[1] * shape[2] > 1}
    chosen = set(spread([path for path in shapes if path in last.values()], MAX_LAYERS))
    return [path for path in shapes if path in chosen]


def _attention(net: nn.Module) -> dict[str, Attention]:
    """The attention modules by path; the halves of one are not counted beside it."""
    found: dict[str, Attention] = {}
    for path, module in net.named_modules():
        if isinstance(module, Attention) and not path.startswith(tuple(f"{p}." for p in found)):
            found[path] = module
    return found


def _parts(path: str, module: Attention) -> list[str]:
    """The attention modules inside one, by their full paths."""
    inner = [(p, m) for p, m in module.named_modules() if p and isinstance(m, Attention)]
    return [f"{path}.{p}" for p, _ in inner]


def _gate(path: str, module: Attention, parts: list[str], arrived: Calls, left: Calls) -> Gate:
    seen = [
        infer_gate(arrived[p][0].numpy(), left[p][0].numpy())
        for p in parts or [path]
        if left[p] and left[p][0].ndim == 4
    ]
    return Gate(
        path=path,
        kind=type(module).__name__,
        before=arrived[path][0].numpy(),
        after=left[path][0].numpy(),
        channel=next((channel for channel, _ in seen if channel is not None), None),
        spatial=next((spatial for _, spatial in seen if spatial is not None), None),
    )


@contextmanager
def _watching(
    net: nn.Module, paths: Sequence[str] | set[str], inputs_of: Sequence[str]
) -> Iterator[tuple[Calls, Calls]]:
    """What arrives at and leaves these modules, while the context lasts and no longer."""
    modules = dict(net.named_modules())
    known = [path for path in modules if path in set(paths)]
    for path in paths:
        if path not in modules:
            raise unknown("layer", path, [p for p in modules if p])
    arrived: Calls = {path: [] for path in inputs_of}
    left: Calls = {}
    training = {module: module.training for module in net.modules()}
    handles = [modules[p].register_forward_pre_hook(_Keep(p, arrived)) for p in inputs_of]
    handles += [modules[p].register_forward_hook(_Keep(p, left)) for p in known]
    try:
        net.eval()
        yield arrived, left
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in training.items():
            module.training = mode


class _Keep:
    """A hook that copies the last value that it is called with: the output, or else the input."""

    def __init__(self, path: str, calls: Calls) -> None:
        self._path, self._calls = path, calls

    def __call__(self, _module: nn.Module, *values: object) -> None:
        value = values[-1]
        tensor = value[0] if isinstance(value, tuple) and value else value
        if not isinstance(tensor, torch.Tensor):
            tensor = torch.empty(0)
        # A copy, since an in-place ReLU may follow.
        copy = tensor.detach().float().cpu().clone()
        self._calls.setdefault(self._path, []).append(copy)


def _is_map(outputs: list[torch.Tensor]) -> bool:
    return len(outputs) == 1 and outputs[0].ndim == 4


def _array(output: object) -> Array:
    tensor = output if isinstance(output, torch.Tensor) else torch.empty(0)
    values: Array = tensor.float().cpu().numpy()
    return values


@contextmanager
def _quietly() -> Iterator[None]:
    """Without gradients, and with the same draws each time, should the network draw even here."""
    with torch.inference_mode(), seeded(0):
        yield
