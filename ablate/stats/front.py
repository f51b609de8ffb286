"""The Pareto front of accuracy and cost, as far as it is decided.

One variant dominates another if it is more accurate and cheaper, and both are decided: a front of
means is partly luck, and who is just behind it may be before it with other seeds.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

from ablate.stats.arms import Arms
from ablate.stats.contrasts import Estimate, estimates
from ablate.system.messages.language import _

Pair = tuple[str, str]


def all_pairs(arms: Arms, names: Sequence[str], *, looks: bool = False) -> dict[Pair, Estimate]:
    """The difference of every two arms, in either order; one family of all the `names`.

    Names without runs count in the family and have no difference.
    """
    pairs = list(itertools.combinations([name for name in names if name in arms.names], 2))
    planned = len(names) * (len(names) - 1) // 2
    weights = [{one: 1.0, other: -1.0} for one, other in pairs]
    told = estimates(arms, weights, planned=planned, looks=looks)
    found = dict(zip(pairs, told, strict=True))
    return found | {(other, one): each.turned for (one, other), each in found.items()}


def dominated(
    differences: Mapping[Pair, Estimate], cheaper: Callable[[str, str], bool]
) -> dict[str, str]:
    """Each variant that another one dominates → the most accurate of those that do.

    `cheaper(one, other)` says whether it is decided that one costs less than the other.
    """
    found: dict[str, str] = {}
    for (one, other), estimate in differences.items():
        if not estimate.above or not cheaper(one, other):
            continue
        known = found.get(other)
        if known is None or estimate.difference > differences[known, other].difference:
            found[other] = one
    return found


def front_claim(found: Mapping[str, str], costs: str) -> str:
    """How many variants are dominated; no more is claimed of the others than that."""
    if not found:
        return _(
            "By accuracy and {costs} no variant is shown to be dominated: no other is "
            "both decidedly more accurate and decidedly cheaper than it.",
            costs=costs,
        )
    listed = ", ".join(
        _("{name} (by {other})", name=name, other=other) for name, other in found.items()
    )
    return _(
        "Dominated by accuracy and {costs}, both decided: {listed}.", costs=costs, listed=listed
    )
