"""A user's own attention, `mypkg.att:CoordAtt`: a module whose constructor takes channels first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from ablate.attention.base import Attention
from ablate.attention.own_signature import find_own, named_arguments
from ablate.errors import PlacementError, StudyError
from ablate.study.variant import Option
from ablate.system.their_modules import build_theirs

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OwnCall:
    """By what a user's attention is made: its name, the map (C, H, W) of its place, and its options."""

    name: str
    place: Shape
    options: tuple[tuple[str, Option], ...] = ()

    @property
    def words(self) -> str:
        """`mypkg.att:CoordAtt on 64×32×32 (reduction=4)`."""
        given = ", ".join(f"{key}={value!r}" for key, value in self.options)
        place = "×".join(map(str, self.place))
        return f"{self.name} on {place}" + (f" ({given})" if given else "")


class OwnAttention(Attention):
    """A module of a user's at its place: what it gives must be a map of the shape that it got.

    In mixed precision the map goes on in the type in which it came, as that of our own attention does.

    Shape: (N, C, H, W) → (N, C, H, W).
    """

    def __init__(self, module: nn.Module, call: OwnCall) -> None:
        super().__init__()
        self.module = module
        self.call = call

    def plain(self, x: torch.Tensor) -> torch.Tensor:
        given = self.module(x)
        tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        return given if tracing else _checked(self.call.name, x, given)

    @staticmethod
    def parameter_count(channels: int, **options: int) -> int:
        """Raises:
        StudyError: always; nobody wrote a closed form for a user's module.
        """
        raise StudyError(
            "attention of a user's own has no closed form of its parameters: count them"
        )


def _checked(name: str, x: torch.Tensor, given: object) -> torch.Tensor:
    if not isinstance(given, torch.Tensor):
        kind = "nothing (None)" if given is None else f"a {type(given).__name__}"
        raise PlacementError(
            f"{name} gives {kind} for a feature map: its forward must return the reweighted map alone"
        )
    if given.shape != x.shape:
        raise PlacementError(
            f"{name} gives the shape {tuple(given.shape)} for a map of {tuple(x.shape)}: attention keeps the "
            "shape (return the map times its gate, not the gate alone)"
        )
    if given.dtype == x.dtype:
        return given
    if torch.is_autocast_enabled(x.device.type) and given.is_floating_point():
        return given.to(x.dtype)
    raise PlacementError(
        f"{name} gives {given.dtype} for a map of {x.dtype}: attention keeps the type; end its forward "
        "with .to(x.dtype)"
    )


def build_own_attention(call: OwnCall) -> OwnAttention:
    """A user's attention for a place, with fresh weights.

    Raises:
        OptionError: options that it does not take.
        StudyError: it cannot be built, or is of a kind whose runs could not be told apart or stored.
    """
    channels, named = own_arguments(call)
    doing = f"building {call.name} for {channels} channels"
    module = build_theirs(call.name, doing, partial(find_own(call.name), channels, **named))
    return OwnAttention(module, call)


def own_arguments(call: OwnCall) -> tuple[int, dict[str, Any]]:
    """The channels and the options with which a user's constructor is called.

    Raises:
        OptionError: options that it does not take.
        StudyError: as `find_own`.
    """
    channels = call.place[0]
    return channels, named_arguments(call.name, channels, dict(call.options))
