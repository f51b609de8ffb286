"""Factors: which place, which kind, which reduction? Main effects and interactions in matched sets."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ablate.stats.arms import Arms
from ablate.stats.contrasts import Estimate, estimates
from ablate.stats.matched import (
    Compared,
    Level,
    Table,
    factors_of,
    level_contrasts,
    levels_of,
    square_contrasts,
    squares_in,
)

MOST_CONTRASTS = 1_000
"""More differences of differences than this are not looked at for one pair of factors."""


@dataclass(frozen=True)
class MainEffect:
    """The answer to "which level?": `levels` to the mean of the others, `pairs` of two levels.

    All of them are one family. `left_out` are levels that nothing could be compared with yet. `held`
    says at which levels of the other factors the comparison was made.
    """

    factor: str
    levels: Mapping[Level, Estimate]
    pairs: Mapping[tuple[Level, Level], Estimate]
    sets: int
    held: Mapping[str, tuple[Level, ...]]
    left_out: tuple[Level, ...] = ()

    @property
    def best(self) -> Level | None:
        """The level that is decidedly better than each of the others; None where there is none."""
        return next((level for level in self.levels if self._beats_all(level, 1)), None)

    @property
    def worst(self) -> Level | None:
        """The level that is decidedly worse than each of the others."""
        return next((level for level in self.levels if self._beats_all(level, -1)), None)

    def pair(self, one: Level, other: Level) -> Estimate | None:
        """The difference of two levels, in either order."""
        if (one, other) in self.pairs:
            return self.pairs[one, other]
        found = self.pairs.get((other, one))
        return None if found is None else found.turned

    def _beats_all(self, level: Level, sign: int) -> bool:
        found = [self.pair(level, other) for other in self.levels if other != level]
        return all(each is not None and (each.above if sign > 0 else each.below) for each in found)


@dataclass(frozen=True, slots=True)
class Interaction:
    """How much more `levels` of the first factor differ at one level of the second than at another."""

    levels: tuple[Level, Level]
    at: tuple[Level, Level]
    estimate: Estimate
    sets: int


@dataclass(frozen=True)
class InteractionOf:
    """Whether two factors depend on each other: every difference of differences, one family."""

    factors: tuple[str, str]
    found: tuple[Interaction, ...]

    @property
    def clearest(self) -> Interaction:
        """The one that is furthest from 0 for the width of its interval."""
        return max(self.found, key=lambda each: _distance(each.estimate))


def main_effects(arms: Arms, table: Table, *, looks: bool = False) -> list[MainEffect]:
    """One answer for each factor with two levels that can be compared.

    `table` has the whole design, arms without runs included.
    """
    there = _with_runs(arms, table)
    found = []
    for factor in factors_of(table):
        planned = level_contrasts(table, factor)
        compared = level_contrasts(there, factor)
        if compared:
            told = estimates(
                arms,
                [each.weights for each in compared.values()],
                planned=len(planned),
                looks=looks,
            )
            answer = _answer(factor, there, compared, dict(zip(compared, told, strict=True)))
            left_out = [each for each in levels_of(table, factor) if each not in answer.levels]
            found.append(replace(answer, left_out=tuple(left_out)))
    return found


def interactions(arms: Arms, table: Table, *, looks: bool = False) -> list[InteractionOf]:
    """Differences of differences for each pair of factors, where the cells of a 2 × 2 exist."""
    there = _with_runs(arms, table)
    found = []
    for first, second in itertools.combinations(factors_of(table), 2):
        if squares_in(table, first, second) > MOST_CONTRASTS:
            continue
        planned, compared = (
            square_contrasts(table, first, second),
            square_contrasts(there, first, second),
        )
        told = estimates(
            arms,
            [each.weights for each in compared.values()],
            planned=len(planned),
            looks=looks,
        )
        if told:
            each = [
                Interaction(levels, at, estimate, compared[levels, at].sets)
                for (levels, at), estimate in zip(compared, told, strict=True)
            ]
            found.append(InteractionOf((first, second), tuple(each)))
    return found


def _answer(
    factor: str,
    table: Table,
    compared: Mapping[tuple[Level, ...], Compared],
    told: Mapping[tuple[Level, ...], Estimate],
) -> MainEffect:
    pairs = {(key[0], key[1]): estimate for key, estimate in told.items() if len(key) == 2}
    levels = {key[0]: estimate for key, estimate in told.items() if len(key) == 1}
    if not levels:
        ((one, other), estimate) = next(iter(pairs.items()))
        levels = {one: estimate, other: estimate.turned}
    used = {name for each in compared.values() for name in each.weights}
    rows = {name: arm for name, arm in table.items() if name in used}
    others = dict.fromkeys(f for arm in rows.values() for f in arm if f != factor)
    held = {name: tuple(levels_of(rows, name)) for name in others}
    sets = max(each.sets for each in compared.values())
    return MainEffect(factor, levels, pairs, sets, held)


def _with_runs(arms: Arms, table: Table) -> Table:
    return {name: levels for name, levels in table.items() if name in arms.names}


def _distance(estimate: Estimate) -> float:
    return abs(estimate.difference) / estimate.half
