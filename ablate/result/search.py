"""What a search found, for the report: plain values. They are made where Optuna is, and drawn without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ablate.study import Option


@dataclass(frozen=True, slots=True)
class Called:
    """What a study calls a network: the name, and the values that it stands for."""

    variant: str
    attention: str
    position: str | None
    options: Mapping[str, Option]


@dataclass(frozen=True, slots=True)
class TrialResult:
    """One trial that has ended. `values` are its objectives, None where it has none; `spent` counts the
    runs that the search had trained when it ended, `on_front` says that no other trial is better in
    everything.
    """

    number: int
    variant: str
    fingerprint: str
    state: str
    point: Mapping[str, Option]
    values: tuple[float, ...] | None
    seeds: int
    trained: int
    spent: int
    on_front: bool


@dataclass(frozen=True, slots=True)
class ConfirmedResult:
    """A candidate with its validation accuracy over fresh seeds: mean, 95 % t-interval, and the
    difference to the baseline's fresh runs, whose intervals hold together for all candidates.
    """

    variant: str
    searched: float
    mean: float
    low: float | None
    high: float | None
    n: int
    difference: float | None
    difference_low: float | None
    difference_high: float | None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A whole search. `importances` are by method and parameter, and sum to 1; `grid` has the mean
    accuracy of every variant that was tried with all seeds; the
    confirmed ones were picked from `candidates` variants.
    """

    sampler: str
    pruner: str
    racing: bool
    seeds: int
    objectives: tuple[str, ...]
    trials: tuple[TrialResult, ...]
    importances: Mapping[str, Mapping[str, float]]
    confirmed: tuple[ConfirmedResult, ...]
    candidates: int
    grid: tuple[float, ...]
