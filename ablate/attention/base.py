"""What every attention module promises, and the checks that several of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import nn
from torch._jit_internal import is_scripting

from ablate.errors import OptionError

STARTS = ("paper", "identity")
"""How attention begins: as its paper draws it, or letting everything through unchanged."""
GATE_SCALE = {"paper": 1.0, "identity": 2.0}
"""What a sigmoid is multiplied by: of scores that are zero it is a half."""


class Attention(nn.Module, ABC):
    """A module that reweights a feature map: (N, C, H, W) → (N, C, H, W), same dtype and device.

    A subclass has the constructor `(channels, *, option=default, …)`. Its keyword arguments are
    the options of a study file; an option that cannot be honoured raises `OptionError`.

    `plain` is written as the paper's equations are. A subclass may add `fused`, the same function
    with the same gradients in fewer passes; `kernel` says which of the two `forward` takes. It is
    no option: it changes how long a network takes, not which network it is.

    Every family has the option `start`: as its paper draws it, or as the identity (`_begin`), unless it says
    why it cannot.

    `version` is raised when the mathematics changes, also by a repaired mistake: results of the old
    module are then never taken for those of the new one. 1 adds nothing to a fingerprint.
    """

    kernel: str = "plain"
    version: ClassVar[int] = 1
    # Without their types, which TorchScript cannot read as text.
    start = "paper"
    _scale = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # A branch of its own: TorchScript compiles the first alone, and knows no autograd of ours.
        if is_scripting():
            return self.plain(x)
        else:  # noqa: RET505
            return self.fused(x) if self.kernel == "fused" else self.plain(x)

    def _begin(self, start: str, last: nn.Module | None = None) -> None:
        """The end of a constructor: with `"identity"` the last layer of the gate is zero and the gate is
        scaled (`_scale`), so that it is exactly 1 and can open as well as close. The layer was drawn all the
        same: what is drawn behind it does not depend on the start.

        Raises:
            OptionError: no such start.
        """
        if start not in STARTS:
            raise OptionError(f"start must be one of {', '.join(STARTS)}, not {start!r}")
        self._scale = GATE_SCALE[start]
        if start == "identity":
            self.start = start
            for parameter in () if last is None else last.parameters():
                nn.init.zeros_(parameter)

    @abstractmethod
    def plain(self, x: torch.Tensor) -> torch.Tensor:
        """The reference, by the paper's equations."""

    def fused(self, x: torch.Tensor) -> torch.Tensor:
        """The same, fast; a module that does not override it has no fused path."""
        return self.plain(x)

    @staticmethod
    @abstractmethod
    def parameter_count(channels: int, **options: int) -> int:
        """The number of parameters in closed form, written from the paper and not from the code."""


def scaled(values: torch.Tensor, scale: float) -> torch.Tensor:
    """Times the scale of a gate; the very tensor where that is 1."""
    return values if scale == 1 else values * scale


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
