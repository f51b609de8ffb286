"""The modules of a network as places for attention: the shapes of what they get and give, and what hinders.

What cannot carry attention has a reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from torch import nn

from ablate.attention.known import kind_of
from ablate.network.layout import ChannelsSecond
from ablate.network.trace import Calls, Outputs, Shape, make_outline, record_calls, trace
from ablate.result.architecture import ATTACHED_AS, BEFORE_AS
from ablate.study.globs import group_paths
from ablate.study.position import AFTER, BEFORE, REPLACE, escape

MOST_LISTED = 40
WIDER = 64
"""Pixels by which the second image is wider: more than the total stride of every network here."""

# Modules that take and give (N, C, H, W) whatever happens around them.
_CHANNELS_SECOND = (
    nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d,
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Upsample,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """A module of a backbone: the (C, H, W) that attention there would get, or why there can be none.

    `maps` is how many such maps one image makes: more than 1 where views are folded into the batch.
    `own` says that the module is attention of the backbone's own.
    """

    kind: str
    shape: Shape
    problem: str | None = None
    maps: int = 1
    own: bool = False


@lru_cache(maxsize=8)
def find_places(backbone: str, classes: int, image_size: int, how: str = AFTER) -> dict[str, Place]:
    """Every module below the root, in the network's order, and whether attention can go there.

    Raises:
        PlacementError: the backbone cannot take images of that size.
    """
    calls = trace(backbone, classes, image_size)
    net = make_outline(backbone, classes, image_size).eval()
    shapes = calls.outputs if how == AFTER else calls.inputs
    second = _find_second(net, shapes, image_size, how)
    own = find_own_attention(backbone, classes, image_size) if how == REPLACE else {}
    all_own = [path for paths in own.values() for path in paths]
    places = {
        path: _judge(net.get_submodule(path), shapes[path], path in second, how)
        for path in shapes
        if path
    }
    if how == REPLACE:
        places = {
            path: replace(
                place,
                problem=place.problem or _changes_shape(calls, path),
                own=path in all_own,
            )
            for path, place in places.items()
        }
    return places | _second_paths(net)


def find_own_attention(backbone: str, classes: int, image_size: int) -> dict[str, list[str]]:
    """Attention that the backbone brings along: its kind, and the paths of its outermost modules.

    It takes a map and gives a map of that size, or a gate for one.
    """
    calls = trace(backbone, classes, image_size)
    found: dict[str, list[str]] = {}
    seen: tuple[str, ...] = ()
    for path, module in make_outline(backbone, classes, image_size).named_modules():
        kind = kind_of(module) if path and not path.startswith(seen or "\n") else None
        if kind is not None and _gates(calls.inputs[path], calls.outputs[path]):
            found.setdefault(kind, []).append(path)
            seen = (*seen, f"{path}.")
    return found


def list_places(places: dict[str, Place]) -> str:
    """The usable paths in one line: all of up to 40, or else globs that stand for several."""
    usable = [escape(path) for path, place in places.items() if not place.problem]
    if len(usable) <= MOST_LISTED:
        return ", ".join(usable) or "nothing in this network"
    listed = [g if len(p) == 1 else f"{g} ({len(p)})" for g, p in group_places(places).items()]
    more = ", …" if len(listed) > MOST_LISTED else ""
    return f"{', '.join(listed[:MOST_LISTED])}{more} ({len(usable)} modules in all)"


def group_places(places: dict[str, Place]) -> dict[str, list[str]]:
    """The usable paths by globs that name exactly them: `layer*.*.bn2` → eight paths."""
    usable = [path for path, place in places.items() if not place.problem]
    if len(usable) <= MOST_LISTED:
        return {escape(path): [path] for path in usable}
    return group_paths(usable, [path for path, place in places.items() if place.problem])


def _judge(module: nn.Module, shapes: list[Shape], second: bool, how: str) -> Place:
    kind, problem = type(module).__name__, None
    gets = "gives" if how == AFTER else "gets"
    child = BEFORE_AS if how == BEFORE else ATTACHED_AS
    if not shapes:
        problem = "is never called"
    elif len(shapes) > 1:
        problem = f"is called {len(shapes)} times, so attention {how} it would be shared"
    elif len(shapes[0]) != 4:
        problem = f"{gets} {shapes[0] or 'no tensor'}, not (N, C, H, W)"
    elif not second:
        problem = (
            f"{gets} {shapes[0]} with channels that are not known to be second, not (N, C, H, W)"
        )
    elif how != REPLACE and isinstance(module, (nn.ModuleDict, nn.ModuleList)):
        problem = (
            "runs its children in a loop, where attention would be one more: name a later module"
        )
    elif how != REPLACE and hasattr(module, child):
        problem = f"has an attribute {child!r} of its own already"
    shape = shapes[0] if shapes else ()
    return Place(kind, shape[1:], problem, shape[0] if shape else 1)


def _changes_shape(calls: Calls, path: str) -> str | None:
    if calls.inputs[path] == calls.outputs[path]:
        return None
    return (
        f"gets {calls.inputs[path][0]} and gives {calls.outputs[path][0] or 'no tensor'}: attention "
        "keeps the shape, so it cannot take its place"
    )


def _find_second(net: nn.Module, shapes: Outputs, image_size: int, how: str) -> set[str]:
    """The modules whose maps are (N, C, H, W) and not (N, H, W, C).

    Some are by their kind. Of others a wider image tells: it changes W alone. A network for one size
    ends early with it, and where views are folded into the batch W may stay: there the tensors are
    followed through the operators.
    """
    wider = record_calls(net, image_size, image_size + WIDER)
    wide = wider.outputs if how == AFTER else wider.inputs
    told = {
        path: _channels_second(net.get_submodule(path), own[0], wide[path])
        for path, own in shapes.items()
        if path and len(own) == 1 and len(own[0]) == 4
    }
    followed = Calls({}, {})
    if None in told.values():
        followed = record_calls(net, image_size, image_size, ChannelsSecond())
    known = followed.second_out if how == AFTER else followed.second_in
    return {path for path, second in told.items() if second or (second is None and path in known)}


def _channels_second(module: nn.Module, shape: Shape, wide: list[Shape]) -> bool | None:
    if isinstance(module, _CHANNELS_SECOND):
        return True
    if len(wide) != 1 or len(wide[0]) != 4 or wide[0][1:] == shape[1:]:
        return None
    return True if shape[:3] == wide[0][:3] else None if shape[0] != wide[0][0] else False


def _gates(inputs: list[Shape], outputs: list[Shape]) -> bool:
    """Whether a module was called with maps, and gave maps of that size or gates for them."""
    return bool(inputs) and all(
        len(given) == len(got) == 4
        and (given[1] in (got[1], 1))
        and (given[2:] in (got[2:], (1, 1)))
        for got, given in zip(inputs, outputs, strict=False)
    )


def _second_paths(net: nn.Module) -> dict[str, Place]:
    """Modules under any other path than their first: one module has one place."""
    first = {id(module): path for path, module in net.named_modules()}
    return {
        path: Place(type(module).__name__, (), f"is the same module as {first[id(module)]!r}")
        for path, module in net.named_modules(remove_duplicate=False)
        if path != first[id(module)]
    }
