"""Trials that have ended, by what is known now: bounds by the present baseline and speeds, values by the
runs that are there.

A search goes on under another baseline, on another device, after a run was deleted, or once a failed one
was trained again. A trial that ended by what is no longer so has not ended: it is judged anew, from the
results as far as they are there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ablate.result import RunStatus
from ablate.store.writing.trials import RunSeen, TrialRow
from ablate.study.search import Search
from ablate.system.messages.text import plural


@dataclass(frozen=True)
class Present:
    """What is known now. `reasons` say which bound a network breaks, None for none; of a network that is not
    in it nothing can be told. `seen` are the runs that are there, `others` the trials whose points build
    another network today; so many failed trials are tried again as `retries` says, None for all.
    """

    reasons: Mapping[str, str | None]
    seen: Mapping[str, RunSeen]
    others: frozenset[int] = frozenset()
    retries: int | None = 0


def judged_anew(
    search: Search, rows: Sequence[TrialRow], present: Present, *, moved: bool = False
) -> list[TrialRow]:
    """The trials as they stand now; those that are to be tried again are running. `moved` says that their
    speeds are others than before: rivals of racing may be too.
    """
    now = [bounded(row, present.reasons) for row in rows]
    pairs = zip(rows, now, strict=True)
    moved = moved or any(old.state == "complete" != new.state for old, new in pairs)
    retries = math.inf if present.retries is None else present.retries
    left, found = _runs_left(search, now), []
    for row in now:
        needed = max(0, search.seeds - len(row.trained))
        if needed <= left and _is_open(row, present, moved=moved, retry=retries > 0):
            left -= needed
            retries -= row.state == "failed"
            found.append(tried_again(row))
        else:
            found.append(row)
    return found


def bounded(row: TrialRow, reasons: Mapping[str, str | None]) -> TrialRow:
    """A trial that has ended, infeasible if its network breaks a bound."""
    reason = reasons.get(row.fingerprint)
    if reason is None or row.state == "running":
        return row
    return replace(row, state="infeasible", reason=reason)


def keeps_bounds(row: TrialRow, reasons: Mapping[str, str | None]) -> bool:
    """Whether a trial ended by a bound that its network does not break."""
    return (
        row.state == "infeasible"
        and row.fingerprint in reasons
        and reasons[row.fingerprint] is None
    )


def tried_again(row: TrialRow) -> TrialRow:
    """A trial before its first seed; what it had to train stays counted."""
    return replace(row, state="running", run_keys=(), reason=None, ended_at=None)


def told_anew(before: Sequence[TrialRow], now: Sequence[TrialRow]) -> str | None:
    """What became of trials, in a line; None if nothing did."""
    pairs = [(a.state, b.state) for a, b in zip(before, now, strict=True) if a.state != b.state]
    broken = sum(state == "infeasible" for _, state in pairs)
    again = sum(state == "running" for _, state in pairs)
    told = [
        f"{plural(broken, 'trial')} out of bounds now" if broken else "",
        f"{plural(again, 'trial')} tried again" if again else "",
    ]
    if not pairs:
        return None
    return f"judged by the present baseline, speeds and runs: {', '.join(filter(None, told))}"


def _is_open(row: TrialRow, present: Present, *, moved: bool, retry: bool) -> bool:
    """Whether that by which a trial has ended is no longer so."""
    runs = [present.seen.get(key) for key in row.run_keys]
    if row.number in present.others or row.state in ("running", "pruned"):
        return False
    if row.state == "infeasible":
        return keeps_bounds(row, present.reasons)
    if row.state == "failed":
        return all(run is None or not _has_failed(run) or _may_retry(run, retry) for run in runs)
    lost = not runs or any(run is None or run.quality is None for run in runs)
    return lost or (row.state == "raced" and moved)


def _has_failed(run: RunSeen) -> bool:
    """Whether a trial ends by this run: it is over and has no value."""
    return run.status is RunStatus.FAILED or (run.status.is_over and run.quality is None)


def _may_retry(run: RunSeen, retry: bool) -> bool:
    return retry and run.status is RunStatus.FAILED


def _runs_left(search: Search, rows: Sequence[TrialRow]) -> float:
    """How many runs the budget still has, behind what trials under way may need."""
    if search.runs is None:
        return math.inf
    trained = sum(len(row.trained) for row in rows)
    reserved = sum(search.seeds - len(row.trained) for row in rows if row.state == "running")
    return search.runs - trained - reserved
