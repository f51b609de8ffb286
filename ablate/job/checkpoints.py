"""When a cohort's checkpoints are due."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

CHECKPOINT_SECONDS = 20.0
"""A checkpoint is written at the end of an epoch when the last one is at least this old: a killed run
loses little, and short epochs do not drown in writing."""


CHECKPOINT_WORTH = 50.0
"""And how many times as long as writing the last one took: so writing takes at most 2 % of the time."""


def checkpoint_interval(asked_seconds: float, cost_seconds: float) -> float:
    """The least time between checkpoints, given what the last ones cost. 0 asks for one after each epoch."""
    return max(asked_seconds, CHECKPOINT_WORTH * cost_seconds) if asked_seconds else 0.0


@dataclass
class CheckpointClock:
    """Says when checkpoints are due that are asked for every so many seconds."""

    asked_seconds: float
    _written: float = field(init=False, default_factory=time.monotonic)
    _cost_seconds: float = field(init=False, default=0.0)

    @property
    def is_due(self) -> bool:
        interval = checkpoint_interval(self.asked_seconds, self._cost_seconds)
        return time.monotonic() - self._written >= interval

    def wrote(self, cost_seconds: float) -> None:
        """Those of an epoch are written."""
        self._written, self._cost_seconds = time.monotonic(), cost_seconds
