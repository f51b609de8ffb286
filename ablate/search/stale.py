"""Trials that ended with runs which are others by now."""

from __future__ import annotations

from collections.abc import Mapping

from ablate.result import RunStatus
from ablate.store.writing.trials import RunSeen, TrialRow


def is_stale(row: TrialRow, seen: Mapping[str, RunSeen]) -> bool:
    """Whether a trial that ended goes on: a value that it counted on is gone, or the run that it failed by
    waits to be trained again, or was. `seen` are those of its runs that there are.
    """
    runs = [seen.get(run_key) for run_key in row.run_keys]
    if row.state in ("complete", "raced"):
        return any(run is None or run.quality is None for run in runs)
    if row.state != "failed":
        return False
    return not any(_cannot_count(run) for run in runs if run is not None)


def _cannot_count(run: RunSeen) -> bool:
    """Whether a run has failed, or has no value of the search's metric though it is over."""
    return run.status is RunStatus.FAILED or (run.status.is_over and run.quality is None)
