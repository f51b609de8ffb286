"""What the command line says, for all benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ablate.system.hardware.machine import find_machine
from ablate.system.messages.console import Counting
from benchmarks.field import VARIANTS, Field


@dataclass(frozen=True)
class Options:
    """How much to measure, and on what.

    `short` shows within a minute that everything runs; its figures mean nothing. `cohorts` (runs side by
    side) and `step_paths` say which of a GPU's are measured; all where they are empty.
    """

    data: Path | None = None
    rounds: int = 6
    steps: int = 64
    attention: tuple[str, ...] = tuple(VARIANTS)
    short: bool = False
    device: str = "auto"
    cohorts: tuple[int, ...] = ()
    step_paths: tuple[str, ...] = ()

    def field(self, attention: str) -> Field:
        """The comparison with that attention."""
        return Field(attention, self.steps, self.data, find_machine(self.device).device.type)


def watch(what: str) -> Counting:
    """Says how far a benchmark has come and how long it will still take, every 5 s at most."""
    return Counting(Console(), what, every_seconds=5.0)
