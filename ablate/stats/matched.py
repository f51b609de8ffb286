"""Matched sets: which arms of a grid may be compared, and with which weights.

A grid is seldom complete. Levels of a factor are compared only among arms that are equal in every
other factor which all of these levels have; such sets count alike, and so do the arms of a level
within one (an option that only some kinds have is averaged over).
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from ablate.stats.contrasts import Weights

Level = str | int | float
Table = Mapping[str, Mapping[str, Level]]
"""Arm → factor → level; a factor that an arm does not have is left out."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What two groups of arms are compared by: weights, and the number of matched sets."""

    weights: Weights
    sets: int


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


def level_contrasts(table: Table, factor: str) -> dict[tuple[Level, ...], Compared]:
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


def square_contrasts(
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


def squares_in(table: Table, first: str, second: str) -> int:
    """How many differences of differences two factors can have."""
    a, b = len(levels_of(table, first)), len(levels_of(table, second))
    return a * (a - 1) * b * (b - 1) // 4


def _to_the_others(level: Level, pairs: Mapping[tuple[Level, ...], Compared]) -> Compared | None:
    mine = {pair: found for pair, found in pairs.items() if level in pair}
    weights: dict[str, float] = {}
    for pair, found in mine.items():
        sign = 1 if pair[0] == level else -1
        for name, weight in found.weights.items():
            weights[name] = weights.get(name, 0.0) + sign * weight / len(mine)
    return Compared(weights, max(found.sets for found in mine.values())) if mine else None


def _by_key(
    group: Mapping[str, Mapping[str, Level]], shared: Sequence[str]
) -> dict[tuple[Hashable, ...], list[str]]:
    found: dict[tuple[Hashable, ...], list[str]] = {}
    for name, arm in group.items():
        found.setdefault(tuple(arm.get(factor) for factor in shared), []).append(name)
    return found
