"""The `[search]` table of a study file: what may vary, what is better, what is allowed, for how long."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from ablate.errors import nearest
from ablate.study import metrics
from ablate.study.base import StudyTable
from ablate.study.keys import by_difference
from ablate.study.own_metrics import is_own_metric, plainly_named
from ablate.study.variant import Option

Direction = Literal["maximize", "minimize"]

ACCURACY = "val_accuracy"
QUALITIES: dict[str, str] = {f"val_{name}": name for name in metrics.METRICS}
"""What is known of a network once it is trained: metrics of validation images, by their objectives' names."""

METRICS: dict[str, Direction] = {
    **{
        name: "maximize" if metrics.METRICS[metric].higher_is_better else "minimize"
        for name, metric in QUALITIES.items()
    },
    "parameters": "minimize",
    "macs": "minimize",
    "images_per_second": "maximize",
}
"""What a search can look for, beside the user's metric. The test set is not among them: a search that saw it
would leak it."""

OF_VALIDATION = "val_"


def quality_metric(objective: str) -> str | None:
    """The metric of validation images that an objective is, also of the user's; None of a cost."""
    own = objective.removeprefix(OF_VALIDATION)
    if objective.startswith(OF_VALIDATION) and is_own_metric(own):
        return own
    return QUALITIES.get(objective)


def direction_of(objective: str) -> Direction:
    """Whether more or less of an objective is better."""
    return METRICS.get(objective, "maximize")


SPEED = "images_per_second"
"""Of inference, measured as `ablate measure` does; the other costs are known on paper."""

SAMPLERS = ("tpe", "random", "gp", "nsga2", "grid")
PRUNERS = ("none", "median", "hyperband")
FRESH_SEEDS = 1000
"""Confirmation trains with the seeds above: no search has looked at them, nor a grid of fewer seeds."""


LARGEST_VALUE = 65_536
"""More than any network has channels: a range that goes further is a slip of the keyboard."""


def last_of_grid(*declared: int) -> int:
    """The seeds above it are fresh, where a grid declares so many."""
    return max((FRESH_SEEDS, *declared))


BUDGET = {"trials", "runs", "hours", "confirm", "confirm_seeds"}
"""What a search may be given more of: with another budget it is the same one, and goes on."""


class Parameter(StudyTable):
    """What one parameter may be: a list of values, or whole numbers from `low` to `high`.

    With `per_position` each part of the position (`pool1+pool3` has two) has a value of its own.
    """

    values: tuple[Option, ...] = ()
    per_position: bool = False
    low: int | None = None
    high: int | None = None
    step: Annotated[int, Field(ge=1)] = 1
    log: bool = False

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        if isinstance(given, dict):
            return given
        return {"values": given if isinstance(given, (list, tuple)) else [given]}

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.low is None and self.high is None:
            if not self.values:
                raise ValueError("search: a parameter is a list of values, or has low and high")
            return self
        if self.values or self.low is None or self.high is None:
            raise ValueError("search: a parameter has either values, or both low and high")
        if not 1 <= self.low <= self.high:
            raise ValueError(
                f"search: 1 ≤ low ≤ high is needed, not low = {self.low}, high = {self.high}"
            )
        if self.high > LARGEST_VALUE:
            raise ValueError(
                f"search: high = {self.high:,} is more than any network has channels: write at most "
                f"{LARGEST_VALUE:,}, or a list of the values that you mean"
            )
        if self.log and self.step != 1:
            raise ValueError("search: a parameter has either log or a step, not both")
        return self

    @property
    def choices(self) -> Sequence[Option]:
        """Every value that it can have; those of a range are not written out."""
        if self.low is None or self.high is None:
            return tuple(dict.fromkeys(self.values))
        return range(self.low, self.high + 1, self.step)


class Bound(StudyTable):
    """The least and the most that a cost may be; with `of_baseline` as multiples of the baseline's."""

    at_least: float | None = None
    at_most: float | None = None
    of_baseline: bool = False

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("search: a constraint needs at_most or at_least")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(
                f"search: contradictory constraint: at_least {self.at_least:g} is above at_most "
                f"{self.at_most:g}"
            )
        return self

    def excess(self, value: float, baseline: float) -> float:
        """By how much a value breaks this bound, as a part of it; 0 or less where it is kept."""
        unit = baseline if self.of_baseline else 1.0
        over = -math.inf if self.at_most is None else value - self.at_most * unit
        under = -math.inf if self.at_least is None else self.at_least * unit - value
        return max(over, under) / max(1.0, abs(baseline))


class Search(StudyTable):
    """A search: its space, what it looks for, how it asks, and its budget.

    Each trial is one variant with the seeds 1 to `seeds`. `confirm` is how many of the best are
    trained again, with `confirm_seeds` fresh seeds each.
    """

    parameters: dict[str, Parameter]
    objectives: tuple[str, ...] = (ACCURACY,)
    constraints: dict[str, Bound] = Field(default_factory=dict)
    sampler: str = "tpe"
    sampler_seed: Annotated[int, Field(ge=0)] = 1
    pruner: str = "none"
    racing: bool = True
    trials: Annotated[int, Field(ge=1, le=100_000)] | None = None
    runs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    hours: Annotated[float, Field(gt=0, le=10_000)] | None = None
    seeds: Annotated[int, Field(ge=1, le=100)] = 3
    confirm: Annotated[int, Field(ge=0, le=100)] = 3
    confirm_seeds: Annotated[int, Field(ge=2, le=1_000)] = 5

    @field_validator("objectives", mode="before")
    @classmethod
    def _one_or_more(cls, given: Any) -> Any:
        named = [given] if isinstance(given, str) else given
        return [_plainly(each) for each in named] if isinstance(named, list | tuple) else named

    @model_validator(mode="after")
    def _checked(self) -> Self:
        for name in (*self.objectives, *self.constraints):
            _check_metric(name)
        qualities = [name for name in self.objectives if quality_metric(name)]
        if not qualities or len(set(self.objectives)) < len(self.objectives):
            raise ValueError(
                f"search: objectives are different ones, and {ACCURACY} or another metric of validation "
                "images is among them"
            )
        if len(qualities) > 1:
            raise ValueError(
                f"search: {' and '.join(qualities)} both say how good a network is: racing and fresh seeds "
                "go by one; leave the others out"
            )
        if unknowable := [name for name in self.constraints if quality_metric(name)]:
            raise ValueError(
                f"search: {unknowable[0]} is known only after training, so it is no constraint but an "
                "objective"
            )
        _check_name("sampler", self.sampler, SAMPLERS)
        _check_name("pruner", self.pruner, PRUNERS)
        if self.pruner != "none" and len(self.objectives) > 1:
            raise ValueError(
                f"search: the pruner {self.pruner!r} compares one objective, and there are "
                f"{len(self.objectives)}; racing works with several"
            )
        if self.pruner != "none" and self.quality != ACCURACY:
            raise ValueError(
                f"search: the pruner {self.pruner!r} looks after each epoch, and {self.quality} is known at "
                'the end of a run: pruner = "none"; racing works with it'
            )
        if self.trials is None and self.runs is None and self.hours is None:
            raise ValueError("search: a budget is missing: give trials, runs or hours")
        if self.runs is not None and self.runs < self.seeds:
            raise ValueError(
                f"search: a budget of {self.runs} runs is less than one trial of {self.seeds} seeds"
            )
        return self

    @property
    def quality(self) -> str:
        """The objective that says how good a trained network is, such as `val_accuracy`."""
        return next(name for name in self.objectives if quality_metric(name))

    @property
    def metric(self) -> str:
        """The metric of validation images that it is, such as `accuracy`."""
        return str(quality_metric(self.quality))

    @property
    def sign(self) -> int:
        """1 where more of it is better, -1 where less is."""
        return 1 if direction_of(self.quality) == "maximize" else -1

    @property
    def directions(self) -> tuple[Direction, ...]:
        return tuple(map(direction_of, self.objectives))

    @property
    def needs_speed(self) -> bool:
        """Whether the throughput of every variant must be measured first."""
        return SPEED in (*self.objectives, *self.constraints)

    @property
    def identity(self) -> dict[str, Any]:
        """What makes it this search and no other; a larger budget only continues it."""
        given = self.model_dump(mode="json", exclude=BUDGET)
        for tables, defaults in (
            ("parameters", PARAMETER_PROTOCOL),
            ("constraints", BOUND_PROTOCOL),
        ):
            given[tables] = {k: by_difference(v, defaults) for k, v in given[tables].items()}
        return by_difference(given, SEARCH_PROTOCOL)


SEARCH_PROTOCOL: dict[str, Any] = {
    "objectives": ["val_accuracy"],
    "constraints": {},
    "sampler": "tpe",
    "sampler_seed": 1,
    "pruner": "none",
    "racing": True,
    "seeds": 3,
}
PARAMETER_PROTOCOL: dict[str, Any] = {
    "values": [],
    "per_position": False,
    "low": None,
    "high": None,
    "step": 1,
    "log": False,
}
BOUND_PROTOCOL: dict[str, Any] = {"at_least": None, "at_most": None, "of_baseline": False}
"""What the identity of a search leaves out (`keys.py`). A value here never changes."""


def _plainly(objective: Any) -> Any:
    """An objective by a metric of the user's, written as its study has it."""
    metric = quality_metric(objective) if isinstance(objective, str) else None
    if metric is None or not is_own_metric(metric):
        return objective
    return f"{OF_VALIDATION}{plainly_named(metric)}"


def _check_metric(name: str) -> None:
    if name.startswith("test_"):
        raise ValueError(
            f"search: {name} is never an objective: a search that sees the test set leaks it; "
            f"there are: {', '.join(METRICS)}"
        )
    if name not in METRICS and quality_metric(name) is None:
        raise ValueError(
            f"search: {name!r} is not measured{nearest(name, METRICS)}; there are: "
            f"{', '.join(METRICS)}"
        )


def _check_name(kind: str, name: str, known: tuple[str, ...]) -> None:
    if kind == "sampler" and name.replace("-", "").replace("_", "") == "cmaes":
        raise ValueError(
            "search: the sampler 'cmaes' is refused: Optuna keeps its state pickled in the storage, "
            f"and would run whatever stands there; there are: {', '.join(known)}"
        )
    if name not in known:
        raise ValueError(
            f"search: unknown {kind} {name!r}{nearest(name, known)}; there are: {', '.join(known)}"
        )
