"""What of a search has failed: trials, and runs that were to confirm the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ablate.plan import Cell
from ablate.result import RunStatus
from ablate.search.searcher import Parts
from ablate.search.words import why_none
from ablate.store.writing.trials import RunSeen, TrialRow
from ablate.system.messages.text import plural


@dataclass(frozen=True)
class Failures:
    """How many trials and how many confirming runs have failed, and what is said of them, a line each."""

    trials: int
    confirming: int
    told: tuple[str, ...]

    @property
    def number(self) -> int:
        return self.trials + self.confirming


def failed_runs(trials: Sequence[TrialRow]) -> list[str]:
    """The runs by which trials have failed, and those of trials under way, which may have failed since."""
    mine = [row for row in trials if row.state in ("failed", "running")]
    return list(dict.fromkeys(key for row in mine for key in (*row.run_keys, *row.trained)))


def failed_in(parts: Parts, trials: Sequence[TrialRow], confirming: Sequence[Cell]) -> Failures:
    """What has failed of these trials and of the runs that confirm the best of them."""
    lost = [row for row in trials if row.state == "failed"]
    keys = [*failed_runs(lost), *(str(cell.run_key) for cell in confirming)]
    seen = parts.store.seen(keys, parts.search.metric)
    told, without = list[str](), 0
    for cell in confirming:
        run = seen.get(str(cell.run_key))
        if run is not None and _has_failed(run):
            without += 1
            told.append(f"{cell.name}, which confirms, failed: {why_none(run, parts.search)}")
    again = sum(run.status is RunStatus.FAILED for run in seen.values())
    if again:
        told.append(
            f"{plural(again, 'failed run')}: `ablate search --retry-failed` trains them again"
        )
    return Failures(len(lost), without, tuple(told))


def _has_failed(run: RunSeen) -> bool:
    """Also one that is over without the metric that the search goes by, as a trial of it has."""
    return run.status.is_over and run.quality is None
