"""A user's network built three times: what of it is the same however it is built, and what it reaches."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from torch import nn

from ablate.backbones import find_factory
from ablate.identity.network_state import NetworkState, take_snapshot
from ablate.identity.settle import settle
from ablate.identity.sources import Sources
from ablate.identity.values import Node
from ablate.network.fresh import make_network
from ablate.study.options import split_call
from ablate.system.digest import digest
from ablate.system.machine import one_thread
from ablate.system.randomness import seeded

SEEDS = (1, 2, 1)
"""What is equal under two seeds does not come from the seed; what differs under one comes from nowhere."""


@dataclass(frozen=True)
class Origin:
    """What was found of a user's network: its description, the files and libraries that it reaches."""

    network: Mapping[str, Node]
    files: Mapping[str, str]
    libraries: Mapping[str, str]
    identity: str | None = None

    @property
    def digest(self) -> str:
        """All of it as one hash."""
        named = {} if self.identity is None else {"identity": self.identity}
        about = {"network": self.network, "files": self.files, "libraries": self.libraries}
        return digest({**about, **named})


def find_origin(
    backbone: str, classes: int, identity: str | None = None, *, as_imported: bool = False
) -> Origin:
    """Build a user's network under each of `SEEDS` and describe it. With `as_imported` its source is what
    this process runs, not what lies in its files by now.

    Raises:
        StudyError: it cannot be built, or something in it cannot be described and there is no `identity`.
    """
    factory = find_factory(split_call(backbone)[0])
    module, named = module_of(factory), identity is not None
    with one_thread():  # the last bits of a product that a constructor makes depend on it
        first, other, again = (
            _snapshot(backbone, classes, seed, module, named=named, as_imported=as_imported)
            for seed in SEEDS
        )
    reached = {module, *first.modules, *other.modules}
    sources = Sources.reached_from(reached, as_imported=as_imported)
    network = settle(first.tree, other.tree, again.tree)
    return Origin(network, sources.files, sources.libraries, identity)


def _snapshot(
    backbone: str, classes: int, seed: int, module: str, *, named: bool, as_imported: bool
) -> NetworkState:
    with seeded(seed):
        net = make_network(backbone, classes)
    return take_snapshot(net, backbone, module, named=named, as_imported=as_imported)


def module_of(factory: Callable[..., nn.Module]) -> str:
    """The Python module of the function or class that builds a network."""
    while isinstance(factory, partial):
        factory = factory.func
    return str(inspect.unwrap(factory).__module__)
