"""Timing by turns: a clock that drifts hits all alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

Name = TypeVar("Name")


def median_seconds(timed: Mapping[Name, Callable[[], float]], rounds: int) -> dict[Name, float]:
    """The median of what each takes, once in each round, the order reversed from round to round."""
    seconds: dict[Name, list[float]] = {name: [] for name in timed}
    for number in range(rounds):
        for name in timed if number % 2 == 0 else reversed(list(timed)):
            seconds[name].append(timed[name]())
    return {name: float(np.median(each)) for name, each in seconds.items()}
