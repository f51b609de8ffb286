"""The trials that a search finds when it begins, as they stand by what is there now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ablate.search.again import Present, judged_anew, told_anew
from ablate.search.costs import CostBook
from ablate.search.parts import Parts
from ablate.search.speeds import keep_speeds
from ablate.store.writing.trials import RunSeen, TrialRow
from ablate.study.search import SPEED


def restored(parts: Parts, costs: CostBook) -> tuple[list[TrialRow], dict[str, RunSeen]]:
    """The trials of a search under the names of now, judged by the baseline, the speeds and the runs of now,
    and these runs. What has changed is stored, all of it or nothing.
    """
    stored = parts.store.trials(parts.key)
    # In this order: the first point of a network names it, as it did before.
    named = [_called(parts, row) for row in stored]
    seen = parts.store.seen([key for row in named for key in row.run_keys], parts.search.metric)
    rows = _present(parts, costs, named, seen)
    changed = [row for was, row in zip(stored, rows, strict=True) if row != was]
    if changed:
        parts.store.update_all(parts.key, changed)
    return rows, seen


def _called(parts: Parts, row: TrialRow) -> TrialRow:
    """A trial by the name that the study has for its network now: its grid may have grown since."""
    if _is_other(parts, row):
        return row  # of another version of this attention: its results stay under its own name
    point = dict(row.point)
    cell = parts.cell_of(point, 1)
    return replace(row, point=parts.cell_of.named_point(point), variant=cell.variant.name)


def _is_other(parts: Parts, row: TrialRow) -> bool:
    """Whether a trial's point builds another network now."""
    return parts.cell_of.network_of(dict(row.point)) != row.fingerprint


def _present(
    parts: Parts, costs: CostBook, named: Sequence[TrialRow], seen: Mapping[str, RunSeen]
) -> list[TrialRow]:
    rows, against = list(named), None
    if parts.place is not None:
        anew = parts.measured_anew
        rows, against = keep_speeds(parts.store, named, parts.baseline, parts.place, anew=anew)
    costs.put(rows, against)
    if not parts.goes_on:
        return rows
    others = frozenset(row.number for row in rows if _is_other(parts, row))
    reasons = costs.reasons({row.fingerprint for row in rows})
    speeds = zip(named, rows, strict=True)
    moved = SPEED in parts.search.objectives and any(a.speed != b.speed for a, b in speeds)
    present = Present(reasons, seen, others, parts.retries)
    now = judged_anew(parts.search, rows, present, moved=moved)
    if told := told_anew(rows, now):
        parts.say(told)
    return now
