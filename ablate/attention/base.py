"""What every attention module promises, and how its options are read."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import nn

from ablate.errors import OptionError, nearest
from ablate.study import Option


class Attention(nn.Module, ABC):
    """A module that reweights a feature map: (N, C, H, W) → (N, C, H, W), same dtype and device.

    A subclass has the constructor `(channels, *, option=default, …)`. Its keyword arguments are
    the options of a study file; an option that cannot be honoured raises `OptionError`.
    """

    @abstractmethod
    def forward(self, x: torch.Tensor) -> torch.Tensor: ...

    @staticmethod
    @abstractmethod
    def parameter_count(channels: int, **options: int) -> int:
        """The number of parameters in closed form, written from the paper and not from the code."""


def complete_options(
    name: str, kind: type[Attention], given: Mapping[str, Option]
) -> dict[str, Option]:
    """All options of `kind`, in its own order, with defaults for those that are not given.

    Raises:
        OptionError: an option that `kind` does not have, or a value of another type.
    """
    parameters = inspect.signature(kind).parameters.values()
    known = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    for key, value in given.items():
        if key not in known:
            has = f"it takes {', '.join(known)}" if known else "it takes no options"
            raise OptionError(
                f"{name} takes no {key!r}{nearest(key, known)}; {has}. "
                "Give other attention its own [[grid]] table"
            )
        if type(value) is not type(known[key]):
            wanted = type(known[key]).__name__
            raise OptionError(f"{name}: {key} must be of type {wanted}, not {value!r}")
    return {key: given.get(key, default) for key, default in known.items()}


def hidden_units(channels: int, reduction: int) -> int:
    """`channels // reduction`, the width of the bottleneck of channel attention.

    Raises:
        OptionError: the reduction is below 1 or leaves no hidden unit.
    """
    if reduction < 1:
        raise OptionError(f"reduction must be at least 1, not {reduction}")
    if channels // reduction < 1:
        raise OptionError(
            f"reduction {reduction} leaves no hidden unit of {channels} channels "
            f"(channels // reduction < 1): use at most {channels}"
        )
    return channels // reduction


def odd_kernel(kernel_size: int) -> int:
    """`kernel_size` itself, which must be odd so that padding k // 2 keeps the map's size.

    Raises:
        OptionError: the kernel is even or smaller than 1.
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise OptionError(f"kernel_size must be odd and at least 1, not {kernel_size}")
    return kernel_size
