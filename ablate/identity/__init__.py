"""Where a network that is not ours comes from: its settings, weights, flags and source, as one hash.

Networks of ours and of torchvision are told apart by their structure; a user's may differ in anything.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache, partial

from torch import nn

from ablate.backbones import find_factory
from ablate.identity.network_state import NetworkState, take_snapshot
from ablate.identity.settle import settle
from ablate.identity.sources import Sources, room_of
from ablate.network.fresh import make_network
from ablate.study.options import split_call
from ablate.system.digest import digest
from ablate.system.randomness import seeded

__all__ = ["forget_origins", "origin"]

SEEDS = (1, 2, 1)
"""What is equal under two seeds does not come from the seed; what differs under one comes from nowhere."""


def origin(backbone: str, classes: int, identity: str | None = None) -> str | None:
    """A hash of everything about a backbone that can change the number and is not in its structure.

    None for a network of ours or of torchvision. `identity` is the study's own name for the network: it
    counts for any, and stands for what cannot be described.

    Raises:
        StudyError: something in a user's network that cannot be described, and no `identity`.
    """
    name, _ = split_call(backbone)
    factory = find_factory(name)
    if room_of(_module_of(factory)) == "ablate":
        return None if identity is None else digest({"identity": identity})
    return _origin_of(factory, backbone, classes, identity)


def forget_origins() -> None:
    """What was found before counts no more: files of weights and of source may have changed."""
    _origin_of.cache_clear()


@lru_cache(maxsize=8)
def _origin_of(
    factory: Callable[..., nn.Module], backbone: str, classes: int, identity: str | None
) -> str:
    module, named = _module_of(factory), identity is not None
    first, other, again = (
        _snapshot(backbone, classes, seed, module, named=named) for seed in SEEDS
    )
    sources = Sources.reached_from({module, *first.modules, *other.modules})
    return digest(
        {
            "network": settle(first.tree, other.tree, again.tree),
            "files": sources.files,
            "libraries": sources.libraries,
            **({} if identity is None else {"identity": identity}),
        }
    )


def _snapshot(backbone: str, classes: int, seed: int, module: str, *, named: bool) -> NetworkState:
    with seeded(seed):
        net = make_network(backbone, classes)
    return take_snapshot(net, backbone, module, named=named)


def _module_of(factory: Callable[..., nn.Module]) -> str:
    while isinstance(factory, partial):
        factory = factory.func
    return str(inspect.unwrap(factory).__module__)
