"""One forward of a black image through a network: what goes into each module and comes out of it.

The network is an outline, whose weights are not drawn; its hooks are gone afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import nn

from ablate.backbones import guessed_argument, is_own
from ablate.errors import PlacementError, StudyError
from ablate.network.fresh import Uninitialised, make_network
from ablate.network.layout import is_second, mark_second
from ablate.study.names import BACKBONES
from ablate.study.options import split_call
from ablate.system.messages.text import one_line
from ablate.system.process.randomness import seeded
from ablate.system.software.imports import prints_to_stderr

Shape = tuple[int, ...]
Outputs = dict[str, list[Shape]]


@dataclass(frozen=True, slots=True)
class Calls:
    """The shapes of what each module got first and gave, one for each call, and what the network raised.

    A value that is no tensor has the shape (). `second_in` and `second_out` are the paths whose tensors
    were known to have their channels second, if anyone looked (`ChannelsSecond`).
    """

    inputs: Outputs
    outputs: Outputs
    second_in: frozenset[str] = frozenset()
    second_out: frozenset[str] = frozenset()
    error: BaseException | None = None


def trace_outputs(backbone: str, classes: int, image_size: int) -> Outputs:
    """For every module below the root the shapes of its outputs in one forward of one black image.

    A module that is never called has an empty list; an output that is no tensor has the shape ().

    Raises:
        PlacementError: the backbone cannot take images of that size.
    """
    outputs = trace(backbone, classes, image_size).outputs
    return {path: shapes for path, shapes in outputs.items() if path}


@lru_cache(maxsize=8)
def trace(backbone: str, classes: int, image_size: int) -> Calls:
    """The calls of every module, and at the path "" of the network, for one black image.

    Raises:
        PlacementError: the backbone cannot take images of that size.
    """
    calls = record_calls(make_outline(backbone, classes, image_size).eval(), image_size, image_size)
    if calls.error is not None:
        raise PlacementError(
            f"{backbone} cannot take {image_size}×{image_size} images: {one_line(calls.error)}"
        )
    return calls


def check_classifies(backbone: str, classes: int, image_size: int) -> None:
    """Refuse a backbone that gives anything but one score for each class: it cannot be trained.

    Raises:
        PlacementError: it gives features, several outputs or another number of scores.
    """
    (shape,) = trace(backbone, classes, image_size).outputs[""]
    if shape != (1, classes):
        raise PlacementError(
            f"{backbone} gives {shape or 'no tensor'} for one image, not a score for each of the "
            f"{classes} classes: a network without such a classifier cannot be trained"
        )
    guessed = guessed_argument(backbone)
    if guessed is not None and _shape_with(backbone, classes + 1, image_size) == shape:
        raise PlacementError(
            f"{backbone} gives {classes} scores whatever its {guessed!r} is, so that is not the number "
            "of classes: name the argument that is, with classes_as=NAME in its brackets"
        )


def _shape_with(backbone: str, classes: int, image_size: int) -> Shape | None:
    try:
        (shape,) = trace(backbone, classes, image_size).outputs[""]
    except StudyError:
        return None  # weights for one number of classes do not fit another
    return shape


def record_outputs(net: nn.Module, height: int, width: int) -> tuple[Outputs, BaseException | None]:
    """What each module, and at the path "" the network, gives for one black image, and what it raised."""
    calls = record_calls(net, height, width)
    return calls.outputs, calls.error


def record_calls(
    net: nn.Module, height: int, width: int, mode: AbstractContextManager[Any] | None = None
) -> Calls:
    """Show one black image to a network, within `mode` if there is one."""
    arrived, left = _Notes(net), _Notes(net)
    handles = [
        handle
        for path, module in net.named_modules()
        for handle in (
            module.register_forward_pre_hook(partial(arrived.note_input, path)),
            module.register_forward_hook(partial(left.note_output, path)),
        )
    ]
    error: BaseException | None = None
    try:
        with torch.no_grad(), seeded(0), prints_to_stderr(), mode or nullcontext():
            net(mark_second(torch.zeros(1, 3, height, width)))
    except KeyboardInterrupt:
        raise
    except BaseException as raised:
        # Networks refuse an image in every way there is: assertions, index errors, shapes, exits.
        error = raised
    finally:
        for handle in handles:
            handle.remove()
    return Calls(arrived.shapes, left.shapes, arrived.second, left.second, error)


class _Notes:
    """The shapes of what goes into modules, or comes out of them."""

    def __init__(self, net: nn.Module) -> None:
        self.shapes: Outputs = {path: [] for path, _ in net.named_modules()}
        self._second: dict[str, bool] = {}

    @property
    def second(self) -> frozenset[str]:
        return frozenset(path for path, known in self._second.items() if known)

    def note_input(self, path: str, _module: nn.Module, inputs: tuple[object, ...]) -> None:
        self._note(path, inputs[0] if inputs else None)

    def note_output(self, path: str, _module: nn.Module, _inputs: object, output: object) -> None:
        self._note(path, output)

    def _note(self, path: str, value: object) -> None:
        is_tensor = isinstance(value, torch.Tensor)
        self.shapes[path].append(tuple(value.shape) if is_tensor else ())  # type: ignore[attr-defined]
        self._second[path] = self._second.get(path, True) and is_second(value)


def make_outline(backbone: str, classes: int, image_size: int) -> nn.Module:
    """A backbone whose weights are not drawn: for its structure and shapes.

    Networks of ours and of torchvision are built once and then copied with the tensors shared, a tenth of
    the time: nothing is trained here. What a user's constructor does is done each time.
    """
    if not _may_be_copied(backbone):
        return _build(backbone, classes, image_size)
    return _copied(_built(backbone, classes, image_size), {})


def forget_outline() -> None:
    """Let go of the weights of the network that was built last: a large one has gigabytes."""
    _built.cache_clear()


def _copied(module: nn.Module, known: dict[int, nn.Module]) -> nn.Module:
    """Modules of their own, with their own tables of children, hooks and tensors, and the same tensors."""
    if id(module) not in known:
        known[id(module)] = copied = type(module).__new__(type(module))
        own = {k: v.copy() if isinstance(v, (dict, set)) else v for k, v in vars(module).items()}
        own["_modules"] = {
            name: None if child is None else _copied(child, known)
            for name, child in module._modules.items()
        }
        copied.__dict__.update(own)
    return known[id(module)]


@lru_cache(maxsize=1)
def _built(backbone: str, classes: int, image_size: int) -> nn.Module:
    return _build(backbone, classes, image_size)


def _build(backbone: str, classes: int, image_size: int) -> nn.Module:
    with outlining(backbone, classes, image_size):
        return make_network(backbone, classes, image_size)


def _may_be_copied(backbone: str) -> bool:
    name, _ = split_call(backbone)
    return name in BACKBONES or name.startswith("torchvision:")


@contextmanager
def outlining(backbone: str, classes: int, image_size: int) -> Iterator[None]:
    """What is built within has zeros for weights that are drawn, unless this network fails with them, as one
    that refuses NaN does where a weight is divided by its norm: then they are drawn.
    """
    drawn = _needs_weights(backbone, classes, image_size)
    with nullcontext() if drawn else Uninitialised(), seeded(0):
        yield


@lru_cache(maxsize=8)
def _needs_weights(backbone: str, classes: int, image_size: int) -> bool:
    if not is_own(backbone):
        return False
    with Uninitialised(), seeded(0):
        net = make_network(backbone, classes, image_size)
    return record_calls(net.eval(), image_size, image_size).error is not None
