"""What a trial is worth: its objectives from its runs, and by how much it breaks a constraint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ablate.study.search import Search, direction_of

Costs = Mapping[str, float]
"""`parameters`, `macs` and, where it was measured, `images_per_second` of one network."""


def values(search: Search, qualities: Sequence[float], costs: Costs) -> tuple[float, ...]:
    """The objectives: the mean of the search's metric over the seeds that there are, and costs."""
    mean = sum(qualities) / len(qualities)
    return tuple(mean if name == search.quality else costs[name] for name in search.objectives)


def is_known(search: Search, costs: Costs) -> bool:
    """Whether every cost among the objectives is known of a network."""
    return all(name == search.quality or name in costs for name in search.objectives)


def is_bounded(search: Search, costs: Costs) -> bool:
    """Whether every cost that has a bound is known of a network."""
    return all(name in costs for name in search.constraints)


def no_worse_in_costs(search: Search, rival: Sequence[float], own: Sequence[float]) -> bool:
    """Whether a rival is at least as good in everything but the search's metric."""
    return all(
        name == search.quality or (r >= o if direction_of(name) == "maximize" else r <= o)
        for name, r, o in zip(search.objectives, rival, own, strict=True)
    )


def excesses(search: Search, costs: Costs, baseline: Costs) -> dict[str, float]:
    """By how much each constraint is broken, of costs that are known; 0 or less where it is kept."""
    return {
        name: bound.excess(costs[name], baseline[name])
        for name, bound in search.constraints.items()
        if name in costs and name in baseline
    }


def broken(search: Search, costs: Costs, baseline: Costs) -> str | None:
    """Which constraint is broken, in words; None if all are kept."""
    for name, excess in excesses(search, costs, baseline).items():
        if excess > 0:
            times = costs[name] / baseline[name]
            return f"{name} {costs[name]:,.0f}, {times:.4f} times the baseline's: out of bounds"
    return None


def front(search: Search, all_values: Sequence[Sequence[float]]) -> list[int]:
    """The indices of those that nothing dominates; for one objective those of the best."""
    signs = [1 if direction_of(name) == "maximize" else -1 for name in search.objectives]
    scores = [tuple(s * v for s, v in zip(signs, each, strict=True)) for each in all_values]
    return [
        i
        for i, own in enumerate(scores)
        if not any(
            other != own and all(o >= m for o, m in zip(other, own, strict=True))
            for other in scores
        )
    ]
