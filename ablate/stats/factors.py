"""Factors: which place, which kind, which reduction? Main effects and interactions within matched sets.

A grid is seldom complete. Levels of a factor are compared only among arms that are equal in every
other factor which all of these levels have; such sets count alike, and so do the arms of a level
within one (an option that only some kinds have is averaged over).
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from ablate.stats.arms import Arms
from ablate.stats.contrasts import Estimate, Weights, estimates

Level = str | int | float
Table = Mapping[str, Mapping[str, Level]]
"""Arm → factor → level; a factor that an arm does not have is left out."""

MOST_CONTRASTS = 1_000
"""More differences of differences than this are not looked at for one pair of factors."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What two groups of arms are compared by: weights, and the number of matched sets."""

    weights: Weights
    sets: int


@dataclass(frozen=True)
class MainEffect:
    """The answer to "which level?": `levels` to the mean of the others, `pairs` of two levels.

    All of them are one family. A level that is matched with no other is not in it. `held` says at
    which levels of the other factors the comparison was made, where there is just one.
    """

    factor: str
    levels: Mapping[Level, Estimate]
    pairs: Mapping[tuple[Level, Level], Estimate]
    sets: int
    held: Mapping[str, tuple[Level, ...]]

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


def main_effects(
    arms: Arms, table: Table, *, looks: bool = False, overlap: float = 0.0
) -> list[MainEffect]:
    """One answer for each factor with two levels that can be compared.

    `table` has the whole design, arms without runs included.
    """
    there = _with_runs(arms, table)
    found = []
    for factor in factors_of(table):
        planned = _contrasts(table, factor)
        compared = _contrasts(there, factor)
        if compared:
            told = estimates(
                arms,
                [each.weights for each in compared.values()],
                planned=len(planned),
                looks=looks,
                overlap=overlap,
            )
            found.append(_answer(factor, there, compared, dict(zip(compared, told, strict=True))))
    return found


def interactions(
    arms: Arms, table: Table, *, looks: bool = False, overlap: float = 0.0
) -> list[InteractionOf]:
    """Differences of differences for each pair of factors, where the cells of a 2 × 2 exist."""
    there = _with_runs(arms, table)
    found = []
    for first, second in itertools.combinations(factors_of(table), 2):
        if _number(table, first, second) > MOST_CONTRASTS:
            continue
        planned, compared = _squares(table, first, second), _squares(there, first, second)
        told = estimates(
            arms,
            [each.weights for each in compared.values()],
            planned=len(planned),
            looks=looks,
            overlap=overlap,
        )
        if told:
            each = [
                Interaction(levels, at, estimate, compared[levels, at].sets)
                for (levels, at), estimate in zip(compared, told, strict=True)
            ]
            found.append(InteractionOf((first, second), tuple(each)))
    return found


def factors_of(table: Table) -> list[str]:
    """The factors with two levels or more, in the order in which arms name them."""
    names = dict.fromkeys(factor for levels in table.values() for factor in levels)
    return [name for name in names if len(levels_of(table, name)) > 1]


def levels_of(table: Table, factor: str) -> list[Level]:
    """The levels of a factor: numbers by size, names in their order."""
    levels = dict.fromkeys(arm[factor] for arm in table.values() if factor in arm)
    numbers = sorted(level for level in levels if isinstance(level, (int, float)))
    return [*numbers, *(level for level in levels if isinstance(level, str))]


def compare(
    table: Table, groups: Sequence[Mapping[str, Level]], signs: Sequence[int]
) -> Compared | None:
    """Groups of arms with these levels, weighed by their signs, within matched sets; None without one."""
    chosen = [
        {name: arm for name, arm in table.items() if group.items() <= arm.items()}
        for group in groups
    ]
    fixed = {factor for group in groups for factor in group}
    having = [{f for arm in group.values() for f in arm} - fixed for group in chosen]
    shared = sorted(set.intersection(*having)) if having else []
    sets = [_by_key(group, shared) for group in chosen]
    keys = [key for key in sets[0] if all(key in each for each in sets)]
    if not keys:
        return None
    weights: dict[str, float] = {}
    for sign, each in zip(signs, sets, strict=True):
        for key in keys:
            for name in each[key]:
                weights[name] = weights.get(name, 0.0) + sign / (len(keys) * len(each[key]))
    return Compared(weights, len(keys))


def _by_key(
    group: Mapping[str, Mapping[str, Level]], shared: Sequence[str]
) -> dict[tuple[Hashable, ...], list[str]]:
    found: dict[tuple[Hashable, ...], list[str]] = {}
    for name, arm in group.items():
        found.setdefault(tuple(arm.get(factor) for factor in shared), []).append(name)
    return found


def _contrasts(table: Table, factor: str) -> dict[tuple[Level, ...], Compared]:
    """Two levels → their difference; one level → that to the mean of the others, from three levels on."""
    levels = levels_of(table, factor)
    pairs: dict[tuple[Level, ...], Compared] = {}
    for one, other in itertools.combinations(levels, 2):
        found = compare(table, [{factor: one}, {factor: other}], [1, -1])
        if found is not None:
            pairs[one, other] = found
    if len(pairs) < 2:
        return pairs
    means = {(level,): _to_the_others(level, pairs) for level in levels}
    return pairs | {level: found for level, found in means.items() if found is not None}


def _to_the_others(level: Level, pairs: Mapping[tuple[Level, ...], Compared]) -> Compared | None:
    mine = {pair: found for pair, found in pairs.items() if level in pair}
    weights: dict[str, float] = {}
    for pair, found in mine.items():
        sign = 1 if pair[0] == level else -1
        for name, weight in found.weights.items():
            weights[name] = weights.get(name, 0.0) + sign * weight / len(mine)
    return Compared(weights, max(found.sets for found in mine.values())) if mine else None


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


def _squares(
    table: Table, first: str, second: str
) -> dict[tuple[tuple[Level, Level], tuple[Level, Level]], Compared]:
    found = {}
    for one, other in itertools.combinations(levels_of(table, first), 2):
        for here, there in itertools.combinations(levels_of(table, second), 2):
            cells = [{first: level, second: at} for at in (here, there) for level in (one, other)]
            square = compare(table, cells, [1, -1, -1, 1])
            if square is not None:
                found[(one, other), (here, there)] = square
    return found


def _number(table: Table, first: str, second: str) -> int:
    """How many differences of differences two factors can have."""
    a, b = len(levels_of(table, first)), len(levels_of(table, second))
    return a * (a - 1) * b * (b - 1) // 4


def _with_runs(arms: Arms, table: Table) -> Table:
    return {name: levels for name, levels in table.items() if name in arms.names}


def _distance(estimate: Estimate) -> float:
    return abs(estimate.difference) / estimate.half
