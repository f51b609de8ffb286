"""A user's network built three times: what of it is the same however it is built, and what it reaches."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from torch import nn

from ablate.backbones import IMAGE_SIZE, find_factory
from ablate.identity.network_state import NetworkState, take_snapshot
from ablate.identity.running import AFTER_FORWARD, Forward, look_at_forward
from ablate.identity.settle import settle
from ablate.identity.sources import Sources
from ablate.identity.values import Node
from ablate.network.fresh import make_network
from ablate.study.options import split_call
from ablate.system.digest import digest
from ablate.system.hardware.machine import one_thread
from ablate.system.process.randomness import seeded

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
    backbone: str,
    classes: int,
    identity: str | None = None,
    image_size: int = IMAGE_SIZE,
    *,
    as_imported: bool = False,
) -> Origin:
    """Build a user's network under each of `SEEDS` and describe it. With `as_imported` its source is what
    this process runs, not what lies in its files by now.

    Raises:
        StudyError: it cannot be built, or something in it cannot be described and there is no `identity`.
    """
    factory = find_factory(split_call(backbone)[0])
    module, named = module_of(factory), identity is not None

    def snapshot(seed: int) -> tuple[NetworkState, Forward]:
        with seeded(seed):
            net = make_network(backbone, classes)
        state = take_snapshot(net, backbone, module, named=named, as_imported=as_imported)
        return state, look_at_forward(net, image_size)

    with one_thread():  # the last bits of a product that a constructor makes depend on it
        states, forwards = zip(*map(snapshot, SEEDS), strict=True)
    first, other, _ = states
    reached = {module, *first.modules, *other.modules}
    codes = first.codes | other.codes
    sources = Sources.reached_from(reached, codes, as_imported=as_imported)
    changed = {name for forward in forwards for name in forward.changed}
    trees = [
        state.tree | ({AFTER_FORWARD: forward.only(changed)} if changed else {})
        for state, forward in zip(states, forwards, strict=True)
    ]
    network = settle(*trees)
    if sources.environment:
        network["environment"] = sources.environment
    return Origin(network, sources.files, sources.libraries, identity)


def module_of(factory: Callable[..., nn.Module]) -> str:
    """The Python module of the function or class that builds a network."""
    while isinstance(factory, partial):
        factory = factory.func
    return str(inspect.unwrap(factory).__module__)
