"""Which runs `--until-decided` trains next: a pure function of what has been trained.

A block is one seed of every variant that is still open, and of the baseline. After each whole block,
from the third on, everybody who is open is judged by intervals that hold at every look. Who stops and
what comes next follows from the results alone: whoever goes on after a crash goes on in the same way, and
a report that is made later from the data says what the last look said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ablate.stats import Effect, Sample, effects
from ablate.stats.effect import FEWEST_AT_A_LOOK
from ablate.stats.planning import MAX_SEEDS
from ablate.store.reading.samples import Standing
from ablate.study.search import FRESH_SEEDS

MOST_FAILURES = 3
"""A variant that has failed so often without a verdict gets no further seeds."""


@dataclass(frozen=True)
class Question:
    """What is to be decided: `variants` are those of the grid, without the baseline."""

    variants: Sequence[str]
    baseline: str
    margin: float | None
    max_seeds: int = MAX_SEEDS


@dataclass(frozen=True)
class Judged:
    """The last look that the data allow: after how many seeds, what it said, and who goes on.

    `seeds` is 0 before the first one. `given_up` have failed too often.
    """

    seeds: int
    effects: Mapping[str, Effect]
    open: tuple[str, ...]
    given_up: tuple[str, ...] = field(default=())


def last_look(question: Question, standing: Standing) -> Judged:
    """Judge everybody by all that is there of it, as a report does; `seeds` is the largest number up to which
    nothing is missing of those who are open.
    """
    most = _most(question, standing)
    if most < FEWEST_AT_A_LOOK:
        return Judged(0, {}, tuple(question.variants))
    found = _effects(question, standing, most)
    for seeds in range(most, FEWEST_AT_A_LOOK - 1, -1):
        judged = _judged(question, standing, found, seeds)
        needed = (question.baseline, *judged.open) if judged.open else ()
        if all(standing.over(name) >= set(range(1, seeds + 1)) for name in needed):
            return judged
    return Judged(0, {}, tuple(question.variants))


def next_block(question: Question, judged: Judged) -> list[tuple[int, str]]:
    """The seeds and variants to train after a look; nothing when everything is decided, or at the most
    seeds.
    """
    if not judged.open:
        return []
    first = judged.seeds + 1
    last = min(max(first, FEWEST_AT_A_LOOK), question.max_seeds)
    names = (question.baseline, *judged.open)
    return [(seed, name) for seed in range(first, last + 1) for name in names]


def _most(question: Question, standing: Standing) -> int:
    """No look can be later than the baseline's runs; what a search confirms with is no part of it."""
    grid = [seed for seed in standing.over(question.baseline) if seed <= FRESH_SEEDS]
    return max(grid, default=0)


def _effects(question: Question, standing: Standing, most: int) -> dict[str, Effect]:
    """Of everybody in the grid, whoever has no run yet included, with the seeds up to `most`; what only a
    search has trained is not judged by these.
    """
    names = (question.baseline, *question.variants)
    family = {name: _up_to(standing.samples.get(name, Sample({})), most) for name in names}
    return effects(family, question.baseline, question.margin, looks=True)


def _judged(
    question: Question, standing: Standing, found: Mapping[str, Effect], seeds: int
) -> Judged:
    """Who goes on after so many seeds."""
    failing = [
        name
        for name in (question.baseline, *question.variants)
        if sum(seed <= seeds for seed in standing.failed.get(name, ())) >= MOST_FAILURES
    ]
    undecided = [name for name in question.variants if not is_settled(found[name])]
    hopeless = question.baseline in failing
    given_up = tuple(name for name in undecided if hopeless or name in failing)
    going_on = tuple(name for name in undecided if name not in given_up)
    return Judged(seeds, found, going_on, given_up)


def is_settled(effect: Effect) -> bool:
    """Whether a variant needs no further seeds."""
    return effect.decided and effect.n >= FEWEST_AT_A_LOOK


def _up_to(sample: Sample, seeds: int) -> Sample:
    return sample.only(range(seeds + 1))
