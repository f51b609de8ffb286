"""What Optuna is told of a trial: what its runs gave, and by how much it breaks a bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ablate.search import judge
from ablate.search.mirror import Outcome
from ablate.store.writing.trials import RunSeen, TrialRow, TrialStore
from ablate.study.metrics import metric_named
from ablate.study.search import ACCURACY, SPEED, Search


def verdict_of(
    row: TrialRow,
    search: Search,
    seen: Mapping[str, RunSeen],
    costs: judge.Costs,
    baseline: judge.Costs,
) -> Outcome:
    """Its values, where all its runs have theirs, and its bounds; nothing of a trial under way."""
    if row.state == "running":
        return Outcome(None)
    found = qualities_of(row, seen)
    ended = row.state in ("complete", "raced") and judge.is_known(search, costs)
    return Outcome(
        values=judge.values(search, found, costs) if ended and found else None,
        constraints=judge.excesses(search, costs, baseline),
    )


def outcome_of(
    row: TrialRow, search: Search, store: TrialStore, costs: judge.Costs, baseline: judge.Costs,
    links: Sequence[str],
) -> Outcome:  # fmt: skip
    """The same, with what the dashboard shows beside it."""
    if row.state == "running":
        return Outcome(None, {"variant": row.variant})
    seen = store.seen(row.run_keys, search.metric)
    verdict = verdict_of(row, search, seen, costs, baseline)
    runs = [seen[key] for key in row.run_keys if key in seen]
    qualities = [run.quality for run in runs if run.quality is not None]
    speeds = [run.images_per_second for run in runs if run.images_per_second is not None]
    attributes: dict[str, object] = {
        "variant": row.variant,
        "run keys": list(row.run_keys),
        "selection seeds": list(range(1, len(row.run_keys) + 1)),
        f"validation {metric_named(search.metric).title} by selection seed": qualities,
        "from results": f"{len(set(row.run_keys) - set(row.trained))} of {len(row.run_keys)} runs",
        **{name: costs[name] for name in ("parameters", "macs", SPEED) if name in costs},
        **({"training images/s": round(sum(speeds) / len(speeds), 1)} if speeds else {}),
        **({"ended": row.reason} if row.reason else {}),
        "links": list(links),
    }
    has_curve = row.run_keys and search.quality == ACCURACY
    curve = store.curve(row.run_keys[0]) if has_curve else {}
    return Outcome(verdict.values, attributes, curve, verdict.constraints)


def qualities_of(row: TrialRow, seen: Mapping[str, RunSeen]) -> tuple[float, ...] | None:
    """The search's metric by seed; None where a run has none, or is gone, or where there are no runs: a value
    that is missing is no 0, and the mean of the others is not the trial's.
    """
    found = [run.quality for key in row.run_keys if (run := seen.get(key)) is not None]
    known = tuple(each for each in found if each is not None)
    return known if known and len(known) == len(row.run_keys) else None
