"""Shapley values: what each place adds, where every subset of the places was run.

A place's value is what it adds to the places that are there already, averaged over all orders in
which they can come (Shapley 1953). The values add up to the difference of all places and none,
exactly, for accuracy as for milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ablate.errors import OptionError
from ablate.stats.arms import Arms
from ablate.stats.contrasts import Estimate, estimates

Coalition = frozenset[str]
"""A set of places."""


def shapley_weights(players: Sequence[str]) -> dict[str, dict[Coalition, float]]:
    """How much the value of every subset counts for each player."""
    others = {player: [p for p in players if p != player] for player in players}
    return {player: _weights(player, rest) for player, rest in others.items()}


def _weights(player: str, others: Sequence[str]) -> dict[Coalition, float]:
    weights: dict[Coalition, float] = {}
    size = len(others) + 1
    for subset in subsets(others):
        orders = math.factorial(len(subset)) * math.factorial(size - len(subset) - 1)
        weights[subset | {player}] = orders / math.factorial(size)
        weights[subset] = -orders / math.factorial(size)
    return weights


def subsets(players: Sequence[str]) -> list[Coalition]:
    """Every subset, the empty one first."""
    found = [frozenset[str]()]
    for player in players:
        found += [subset | {player} for subset in found]
    return found


def shapley_values(values: Mapping[Coalition, float]) -> dict[str, float]:
    """The value of each player from those of all subsets, in the order of their names.

    Raises:
        OptionError: a subset has no value.
    """
    players = sorted(frozenset[str]().union(*values))
    missing = len([subset for subset in subsets(players) if subset not in values])
    if missing:
        raise OptionError(
            f"Shapley values need all {2 ** len(players)} subsets, {missing} are missing: run them"
        )
    return {
        player: math.fsum(weight * values[subset] for subset, weight in weights.items())
        for player, weights in shapley_weights(players).items()
    }


def shapley_estimates(
    arms: Arms,
    placed: Mapping[Coalition, str],
    *,
    looks: bool = False,
) -> dict[str, Estimate]:
    """Each player's value in accuracy with a simultaneous interval; `placed` has the arm of each subset."""
    players = sorted(frozenset[str]().union(*placed))
    weights = {
        player: {placed[subset]: weight for subset, weight in each.items()}
        for player, each in shapley_weights(players).items()
    }
    told = estimates(arms, list(weights.values()), looks=looks)
    return dict(zip(weights, told, strict=True))
