"""Ratios of what was measured in the same rounds, with an interval.

Images per second on a shared CPU are noise; how much faster A was than B in the same round is not.
Student's t on the logarithm of each round's ratio: its spread is about the same for 2× and for
20×, and at few rounds the bootstrap's intervals are too short (`ablate.stats` says by how much).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.stats import interval


@dataclass(frozen=True, slots=True)
class Ratio:
    """The geometric mean over `rounds` with its 95 % interval, None after a single round."""

    ratio: float
    low: float | None
    high: float | None
    rounds: int


def ratio_of(values: Sequence[float], others: Sequence[float]) -> Ratio:
    """How many times `values` are as large as `others`, round by round.

    Raises:
        ValueError: not the same number of rounds, or a value that is not above 0.
    """
    logs = [math.log(value / other) for value, other in zip(values, others, strict=True)]
    found = interval(logs)
    return Ratio(
        ratio=math.exp(found.mean),
        low=None if found.low is None else math.exp(found.low),
        high=None if found.high is None else math.exp(found.high),
        rounds=found.n,
    )
