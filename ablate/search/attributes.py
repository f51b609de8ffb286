"""What Optuna's dashboard shows beside a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ablate.store.writing.trials import RunSeen, TrialRow
from ablate.study.metrics import metric_named
from ablate.study.search import SPEED, Search


def attributes(
    search: Search,
    row: TrialRow,
    runs: Sequence[RunSeen],
    costs: Mapping[str, float],
    named: tuple[str, str],
) -> dict[str, object]:
    """Its variant, runs, seeds and costs. `named` is the study, and the words that name it and its database
    to a command, empty where the study has no file.
    """
    qualities = [run.quality for run in runs if run.quality is not None]
    speeds = [run.images_per_second for run in runs if run.images_per_second is not None]
    return {
        "variant": row.variant,
        "run keys": list(row.run_keys),
        "selection seeds": list(range(1, len(row.run_keys) + 1)),
        f"validation {metric_named(search.metric).title} by selection seed": qualities,
        "from results": f"{len(set(row.run_keys) - set(row.trained))} of {len(row.run_keys)} runs",
        **{name: costs[name] for name in ("parameters", "macs", SPEED) if name in costs},
        **({"training images/s": round(sum(speeds) / len(speeds), 1)} if speeds else {}),
        **({"ended": row.reason} if row.reason else {}),
        "links": _links(row, *named),
    }


def _links(row: TrialRow, study: str, told: str) -> list[str]:
    links = [f"reports/{study}/report.html"]
    if row.run_keys and told:
        links.append(f"ablate explain {row.run_keys[0]} --study {told}")
    return links
