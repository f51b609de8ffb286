"""Placebos, the controls of an honest ablation: a place is used, but nothing is learned there."""

from __future__ import annotations

import torch
from torch import nn

from ablate.attention.base import Attention
from ablate.errors import OptionError


class Identity(Attention):
    """Passes its input through: what the act of inserting something changes (nothing, if all is well).

    Shape: (N, C, H, W) → (N, C, H, W), the same tensor.
    """

    def __init__(self, channels: int, *, start: str = "paper") -> None:
        super().__init__()
        self._begin(start)
        self.channels, self.start = channels, "paper"  # with either start it is the same module

    def plain(self, x: torch.Tensor) -> torch.Tensor:
        return x

    @staticmethod
    def parameter_count(channels: int, **options: int) -> int:
        return 0


class RandomGate(Attention):
    """Scales every channel by a fixed weight, drawn once from a uniform distribution on [0, 1).

    A gain over it is due to weights that follow the image; a gain of it over nothing is due to
    unequal channels alone. Places with as many channels have the same weights, in every run.

    Shape: (N, C, H, W) → (N, C, H, W).

    Raises:
        OptionError: `gate_seed` is no seed, or it is to start as the identity.
    """

    def __init__(self, channels: int, *, gate_seed: int = 0, start: str = "paper") -> None:
        super().__init__()
        self._begin(start)
        if start == "identity":
            raise OptionError(
                "random_gate cannot start as the identity: its weights are drawn once and never trained, so "
                "it would be the identity for ever, which is the placebo `identity`"
            )
        if not 0 <= gate_seed < 2**63:
            raise OptionError(f"gate_seed must be at least 0 and below 2**63, not {gate_seed}")
        self.gate_seed = gate_seed
        generator = torch.Generator().manual_seed(gate_seed)
        self.gate = nn.Buffer(torch.rand(channels, generator=generator))

    def plain(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gate.to(x.dtype)[:, None, None]

    def extra_repr(self) -> str:
        return f"gate_seed={self.gate_seed}"  # a buffer's values are not in a fingerprint, this is

    @staticmethod
    def parameter_count(channels: int, **options: int) -> int:
        return 0
