"""What a search says of its trials while it runs."""

from __future__ import annotations

from ablate.result import RunStatus
from ablate.search.mirror import Outcome
from ablate.store.writing.trials import RunSeen, TrialRow
from ablate.study.metrics import metric_named, shown_value
from ablate.study.search import ACCURACY, Search


def told_trial(row: TrialRow, outcome: Outcome, search: Search) -> str:
    """A trial that has ended, in a line: its values and where they came from, or why it has none."""
    head = f"trial {row.number}: {row.variant}: "
    if row.state == "infeasible":
        return head + f"infeasible{'' if row.trained else ', nothing trained'}: {row.reason}"
    if row.state == "pruned":
        return head + f"{row.reason} of its first seed"
    runs, trained = len(row.run_keys), len(set(row.trained) & set(row.run_keys))
    source = "from results" if not trained and runs else f"{trained} of {runs} runs trained"
    if outcome.values is None:
        return head + f"{row.reason or 'a run of it is gone'}; {source}"
    shown = ", ".join(
        f"{name} {shown_value(search.metric, value)}"
        if name == search.quality
        else f"{name} {value:,.0f}"
        for name, value in zip(search.objectives, outcome.values, strict=True)
    )
    return head + f"{shown}; {source}" + (f"; {row.reason}" if row.reason else "")


def why_none(run: RunSeen, search: Search) -> str:
    """What went wrong with a run that has no value."""
    if run.status is RunStatus.FAILED or search.quality == ACCURACY:
        return _last_line(run.error)
    title = metric_named(search.metric).title
    return f"no {title} of its validation images is stored: an earlier version trained it, or they have none"


def _last_line(error: str | None) -> str:
    lines = [line for line in (error or "no result").splitlines() if line.strip()]
    return lines[-1].strip()
