"""A fault, its bar and what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Measured = dict[str, float]
"""What was counted and timed, by name; names end in their unit where they have one."""


class CannotBeDone(Exception):  # noqa: N818 - no error: a reason
    """The fault cannot be caused on this machine; the text says why."""


@dataclass(frozen=True)
class Figures:
    """What was done, and what came of it."""

    done: str
    measured: Measured


@dataclass(frozen=True)
class Row:
    """One line of the table. `full` and `short` are the counts that `measure` is called with; `most`
    and `least` bound what it measures, and are the bar.
    """

    name: str
    fault: str
    bar: str
    measure: Callable[..., Figures]
    full: Mapping[str, object]
    short: Mapping[str, object]
    most: Mapping[str, float] = field(default_factory=dict)
    least: Mapping[str, float] = field(default_factory=dict)

    def run(self, folder: Path, *, short: bool) -> Figures:
        """Cause the fault in a folder of its own.

        Raises:
            CannotBeDone: this machine lacks what it takes.
        """
        folder.mkdir(parents=True)
        return self.measure(folder, **(self.short if short else self.full))

    def broken(self, figures: Figures, *, patience: float = 1.0) -> list[str]:
        """The bounds that were not held; empty if the bar is. `patience` is a factor for bounds on time."""
        found = figures.measured
        most = {k: v * (patience if "seconds" in k else 1) for k, v in self.most.items()}
        over = [f"{k} {found[k]:g} > {v:g}" for k, v in most.items() if found[k] > v]
        least = {k: v / (patience if "second" in k else 1) for k, v in self.least.items()}
        return over + [f"{k} {found[k]:g} < {v:g}" for k, v in least.items() if found[k] < v]
