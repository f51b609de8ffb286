"""The airbench-style loop with its network compiled: `torch.compile(mode="reduce-overhead")`, one a model.

On a GPU that mode records CUDA graphs of the compiled forward and backward. Loss and optimizer stay eager.
A second compilation is an error here: what silently runs eager is no opponent.
"""

from __future__ import annotations

from typing import Any, Never

import torch
from torch import nn

from benchmarks.field import Entry, Field
from benchmarks.opponents import airbench
from benchmarks.race import Turn


def play(field: Field, entry: Entry, turn: Turn) -> Never:
    """One process; the first lap, which does not count, compiles."""
    torch._dynamo.config.error_on_recompile = True
    airbench.race(field, entry, turn, Compiled)


class Compiled(nn.Module):
    """A compiled network, told where each step begins."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self._net: Any = torch.compile(net, mode="reduce-overhead", dynamic=False, fullgraph=True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        logits: torch.Tensor = self._net(images)
        return logits
