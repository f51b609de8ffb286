"""Where attention can go in a network: module paths, and the shapes of what the modules give.

Shapes come from forwards of a black image through an outline, a network whose weights are not
drawn; its hooks are gone afterwards. What cannot carry attention has a reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache, partial

import torch
from torch import nn

from ablate.errors import PlacementError, nearest
from ablate.networks import Uninitialised, make_network
from ablate.result.architecture import ATTACHED_AS
from ablate.study import NO_ATTENTION, Variant
from ablate.system.randomness import seeded
from ablate.system.text import one_line

Shape = tuple[int, ...]
Outputs = dict[str, list[Shape]]

MOST_LISTED = 40
WIDER = 64
"""Pixels by which the second image is wider: more than the total stride of every network here."""

# Modules that give (N, C, H, W) whatever happens around them.
_CHANNELS_SECOND = (
    nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d,
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Upsample,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """A module of a backbone: its output's (C, H, W), or the reason why attention cannot follow it."""

    kind: str
    shape: Shape
    problem: str | None = None


def find_targets(variant: Variant, classes: int, image_size: int) -> dict[str, Shape]:
    """The module paths that a variant's position names, each with its output's (C, H, W).

    A position is globs over module paths, joined by `+`; `*` stays within one part of a path.

    Raises:
        PlacementError: with the paths that can be used, the nearest first.
    """
    if variant.attention == NO_ATTENTION or variant.position is None:
        trace_outputs(variant.backbone, classes, image_size)  # it must take the images all the same
        return {}
    places = find_places(variant.backbone, classes, image_size)
    found: set[str] = set()
    for pattern in variant.position.split("+"):
        matches = [path for path in places if matches_glob(path, pattern.strip())]
        problems = [f"{path!r} {places[path].problem}" for path in matches if places[path].problem]
        if problems or not matches:
            close = nearest(pattern.strip(), [p for p in places if not places[p].problem])
            what = problems[0] if problems else f"position {pattern!r} matches no module{close}"
            raise PlacementError(
                f"{variant.backbone}: {what}; attention can go after: {list_places(places)}"
            )
        found.update(matches)
    return {path: place.shape for path, place in places.items() if path in found}


def part_of(position: str, path: str) -> int:
    """Which part of a position names a path: the first one that matches."""
    patterns = [pattern.strip() for pattern in position.split("+")]
    return next(i for i, pattern in enumerate(patterns) if matches_glob(path, pattern))


@lru_cache(maxsize=8)
def find_places(backbone: str, classes: int, image_size: int) -> dict[str, Place]:
    """Every module below the root, in the network's order, and whether attention can follow it.

    Raises:
        PlacementError: the backbone cannot take images of that size.
    """
    outputs = trace_outputs(backbone, classes, image_size)
    net = make_outline(backbone, classes).eval()
    # (N, C, H, W) or (N, H, W, C)? A wider image tells: it changes W alone. A network for one size
    # ends early, and what was not reached must be of a kind that is known.
    wide, _ = record_outputs(net, image_size, image_size + WIDER)
    return {
        path: _judge(net.get_submodule(path), shapes, wide[path])
        for path, shapes in outputs.items()
    } | _second_paths(net)


def trace_outputs(backbone: str, classes: int, image_size: int) -> Outputs:
    """For every module below the root the shapes of its outputs in one forward of one black image.

    A module that is never called has an empty list; an output that is no tensor has the shape ().

    Raises:
        PlacementError: the backbone cannot take images of that size.
    """
    return {path: s for path, s in _trace(backbone, classes, image_size).items() if path}


def check_classifies(backbone: str, classes: int, image_size: int) -> None:
    """Refuse a backbone that gives anything but one score for each class: it cannot be trained.

    Raises:
        PlacementError: it gives features, several outputs or another number of scores.
    """
    (shape,) = _trace(backbone, classes, image_size)[""]
    if shape != (1, classes):
        raise PlacementError(
            f"{backbone} gives {shape or 'no tensor'} for one image, not a score for each of the "
            f"{classes} classes: a network without such a classifier cannot be trained"
        )


@lru_cache(maxsize=8)
def _trace(backbone: str, classes: int, image_size: int) -> Outputs:
    outputs, error = record_outputs(make_outline(backbone, classes).eval(), image_size, image_size)
    if error is not None:
        raise PlacementError(
            f"{backbone} cannot take {image_size}×{image_size} images: {one_line(error)}"
        )
    return outputs


def record_outputs(net: nn.Module, height: int, width: int) -> tuple[Outputs, Exception | None]:
    """What each module, and at the path "" the network, gives for one black image, and what it raised."""
    outputs: Outputs = {path: [] for path, _ in net.named_modules()}
    handles = [
        module.register_forward_hook(partial(_note, outputs[path]))
        for path, module in net.named_modules()
    ]
    try:
        with torch.no_grad(), seeded(0):
            net(torch.zeros(1, 3, height, width))
    except Exception as error:
        # Networks refuse an image in every way there is: assertions, index errors, shapes.
        return outputs, error
    finally:
        for handle in handles:
            handle.remove()
    return outputs, None


def list_places(places: dict[str, Place]) -> str:
    """The usable paths in one line: all of up to 40, or else globs that stand for several."""
    usable = [path for path, place in places.items() if not place.problem]
    if len(usable) <= MOST_LISTED:
        return ", ".join(usable) or "nothing in this network"
    listed = [g if len(p) == 1 else f"{g} ({len(p)})" for g, p in group_places(places).items()]
    more = ", …" if len(listed) > MOST_LISTED else ""
    return f"{', '.join(listed[:MOST_LISTED])}{more} ({len(usable)} modules in all)"


def group_places(places: dict[str, Place]) -> dict[str, list[str]]:
    """The usable paths by globs that name exactly them: `layer*.*.bn2` → eight paths."""
    usable = [path for path, place in places.items() if not place.problem]
    groups: dict[str, list[str]] = {}
    for path in usable:
        groups.setdefault(_group(path, places) if len(usable) > MOST_LISTED else path, []).append(
            path
        )
    return {paths[0] if len(paths) == 1 else glob: paths for glob, paths in groups.items()}


def matches_glob(path: str, pattern: str) -> bool:
    """Whether a glob names a module path, part by part."""
    parts, globs = path.split("."), pattern.split(".")
    return len(parts) == len(globs) and all(map(fnmatchcase, parts, globs))


def make_outline(backbone: str, classes: int) -> nn.Module:
    """A backbone whose weights are not drawn: for its structure and shapes."""
    with Uninitialised(), seeded(0):
        return make_network(backbone, classes)


def _note(shapes: list[Shape], _module: nn.Module, _inputs: object, output: object) -> None:
    shapes.append(tuple(output.shape) if isinstance(output, torch.Tensor) else ())


def _judge(module: nn.Module, shapes: list[Shape], wide: list[Shape]) -> Place:
    kind, problem = type(module).__name__, None
    if not shapes:
        problem = "is never called"
    elif len(shapes) > 1:
        problem = f"is called {len(shapes)} times, so attention after it would be shared"
    elif len(shapes[0]) != 4:
        problem = f"gives {shapes[0] or 'no tensor'}, not (N, C, H, W)"
    elif not _channels_second(module, shapes[0], wide):
        problem = (
            f"gives {shapes[0]} with channels that are not known to be second, not (N, C, H, W)"
        )
    elif isinstance(module, (nn.ModuleDict, nn.ModuleList)):
        problem = (
            "runs its children in a loop, where attention would be one more: name a later module"
        )
    elif hasattr(module, ATTACHED_AS):
        problem = f"has an attribute {ATTACHED_AS!r} of its own already"
    return Place(kind, shapes[0][1:] if shapes else (), problem)


def _channels_second(module: nn.Module, shape: Shape, wide: list[Shape]) -> bool:
    follows_the_image = len(wide) == 1 and len(wide[0]) == 4 and wide[0] != shape
    if not follows_the_image:
        return isinstance(module, _CHANNELS_SECOND)
    return shape[:3] == wide[0][:3]


def _second_paths(net: nn.Module) -> dict[str, Place]:
    """Modules under any other path than their first: one module has one place."""
    first = {id(module): path for path, module in net.named_modules()}
    return {
        path: Place(type(module).__name__, (), f"is the same module as {first[id(module)]!r}")
        for path, module in net.named_modules(remove_duplicate=False)
        if path != first[id(module)]
    }


def _group(path: str, places: dict[str, Place]) -> str:
    """A glob for paths that differ only in numbers, or the path where every glob names more than these."""
    *parents, last = path.split(".")
    above = [re.sub(r"\d+", "*", part) for part in parents]
    for end in ("*", last) if last.isdigit() else (last,):
        glob = ".".join([*above, end])
        if not any(place.problem for other, place in places.items() if matches_glob(other, glob)):
            return glob
    return path
