"""Whoever is shown a verdict has looked: that is kept, so that a report knows if seeds were added for it."""

from __future__ import annotations

from ablate.report.summary import planned_seeds
from ablate.result import RunStatus
from ablate.stats.looks import ANYTIME, FIXED, Look, any_time, margin_of
from ablate.store.frames import Frames
from ablate.store.looks import new_look, record_look
from ablate.system.console import say


def keep_look(frames: Frames, url: str, command: str) -> None:
    """Store that a study's verdicts were shown; not if there was none to show, or it was the same.

    A database that cannot be written can be looked at all the same: a note says so.
    """
    look = look_at(frames, command)
    if look is None:
        return
    key = (str(frames.study["name"]), frames.dataset_hash, _setting(frames))
    if why := record_look(url, key, look):
        say(f"note: that this was looked at could not be stored: {why}")


def look_at(frames: Frames, command: str) -> Look | None:
    """This look; None where no interval can be shown, and so nothing that tempts to add seeds."""
    study, runs = frames.study, frames.runs
    if (study.get("recipe") or {}).get("split") == "tutorial":
        return None
    planned = planned_seeds(study)
    aliases = study.get("aliases") or {}
    finished = runs[(runs["status"] == RunStatus.FINISHED) & runs["test_accuracy"].notna()]
    counts = finished["variant"].replace(dict(aliases)).value_counts()
    n = {name: int(counts.get(name, 0)) for name in planned}
    baseline = aliases.get(study["baseline"], study["baseline"])
    if n[baseline] < 2 or not any(n[name] > 1 for name in n if name != baseline):
        return None
    rule = ANYTIME if any_time(frames.looks) else FIXED
    margin = margin_of(frames.looks, study.get("equivalence_margin"))
    family = len({*planned, *runs["variant"].replace(dict(aliases))}) - 1
    return new_look(rule, command, n, planned, margin, family, finished["run_key"])


def _setting(frames: Frames) -> str:
    return str(frames.runs["setting"].iloc[0])
