"""A network of a backbone's name that is a run's own: it shares nothing with any other of its process."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.nn import init
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from ablate.backbones import IMAGE_SIZE, is_own, make_backbone
from ablate.errors import StudyError
from ablate.study import stream_seed
from ablate.system.messages.text import one_line
from ablate.system.process.randomness import seeded


def make_network(backbone: str, classes: int, image_size: int = IMAGE_SIZE) -> nn.Module:
    """A backbone with fresh weights for images of that size, drawn from the process's generators, of which
    nothing is part of any other network: a module without weights that is made once, as a default argument
    is, is copied.

    Raises:
        StudyError: its networks share weights, or it cannot be built.
    """
    net = make_backbone(backbone, classes, image_size)
    return _copy(backbone, net) if _shared_parts(backbone, classes) else net


def check_seeds(backbone: str, classes: int) -> str | None:
    """What a reader of its results must know of how a network depends on its seed: it begins the same
    under each of them. None where there is nothing to say.

    Raises:
        StudyError: it is another network under another seed.
    """
    return _check_own(backbone, classes) if is_own(backbone) else None


@lru_cache(maxsize=8)
def _check_own(backbone: str, classes: int) -> str | None:
    one, other = (_begun(backbone, classes, seed) for seed in (1, 2))
    for name in {**one, **other}:
        shape, second = (
            list(net[name].shape) if name in net else "missing" for net in (one, other)
        )
        if shape != second:
            raise StudyError(
                f"{backbone} is another network under another seed: {name!r} is {shape} or {second}: "
                "make what its constructor draws there an option"
            )
    if any(not torch.equal(one[name], other[name]) for name in one):
        return None
    return (
        f"{backbone} begins with the same weights under every seed, because its constructor seeds or "
        "loads them: seeds differ in the order of images alone, and their intervals may be too narrow; "
        "let it draw without seeding, or say so with the results"
    )


def _begun(backbone: str, classes: int, seed: int) -> dict[str, torch.Tensor]:
    with seeded(stream_seed(seed, "backbone")):
        net = make_network(backbone, classes)
    # Lazy ones have neither shape nor values before the first images.
    return {name: p for name, p in net.named_parameters() if not is_lazy(p)}


@lru_cache(maxsize=8)
def _shared_parts(backbone: str, classes: int) -> tuple[str, ...]:
    """What two networks of a name have in common: modules and buffers.

    Raises:
        StudyError: they have weights in common.
    """
    if not is_own(backbone):
        return ()
    with Uninitialised(), seeded(0):
        one, other = make_backbone(backbone, classes), make_backbone(backbone, classes)
    theirs = {id(part) for _, part in _parts(other)} | _places(other.parameters())
    for name, parameter in one.named_parameters():
        if id(parameter) in theirs or _place(parameter) in theirs:
            raise StudyError(
                f"{backbone}: all networks of a process share the weights {name!r}, so that every run "
                "would train them: make them in the constructor, not as a default argument, a global "
                "or a cached value"
            )
    places = _places(other.buffers())
    return tuple(
        name
        for name, part in _parts(one)
        if id(part) in theirs or (isinstance(part, torch.Tensor) and _place(part) in places)
    )


def _copy(backbone: str, net: nn.Module) -> nn.Module:
    try:
        copied = copy.deepcopy(net)
    except Exception as error:
        # Whatever a user's module raises when it is copied is for the user to mend.
        raise StudyError(
            f"{backbone}: its networks share a module that cannot be copied ({one_line(error)}): make it "
            "in the constructor"
        ) from error
    kept = {id(part) for _, part in _parts(net)}
    for name, part in _parts(copied):
        if id(part) in kept:
            raise StudyError(
                f"{backbone}: its networks share {name!r}, which is not copied with them: make it in the "
                "constructor"
            )
    return copied


def _parts(net: nn.Module) -> Iterator[tuple[str, nn.Module | torch.Tensor]]:
    return chain(net.named_modules(), net.named_parameters(), net.named_buffers())


def _places(tensors: Iterator[torch.Tensor]) -> set[object]:
    return {_place(tensor) for tensor in tensors}


def _place(tensor: torch.Tensor) -> object:
    """Where its values lie: two parameters may be made of one tensor."""
    try:
        place = tensor.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError, ValueError):  # lazy ones have no values yet
        place = 0
    return (tensor.device, place) if place else id(tensor)


class Uninitialised(TorchFunctionMode):
    """Skips drawing random weights, most of the time that building a large network takes.

    The meta device would skip the memory too, but its rules load the compiler: 3.6 s at every start.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _RANDOM_FILLS:
            return args[0].zero_()  # trunc_normal_ draws again until every value is in its range
        if func in _RANDOM_INITS:
            # They come here whole, by name, and draw where no mode sees it.
            tensor: torch.Tensor = (kwargs or {})["tensor"] if not args else args[0]
            with torch.no_grad():
                return tensor.zero_()
        return func(*args, **(kwargs or {}))


_RANDOM_FILLS = {torch.Tensor.uniform_, torch.Tensor.normal_, torch.Tensor.random_}
_RANDOM_INITS = {
    init.uniform_, init.normal_, init.trunc_normal_, init.xavier_uniform_, init.xavier_normal_,
    init.kaiming_uniform_, init.kaiming_normal_, init.orthogonal_, init.sparse_,
}  # fmt: skip
