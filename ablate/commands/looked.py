"""Whoever is shown a verdict has looked: that is kept, so that a report knows if seeds were added for it."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from ablate.report.summary import last_seed, planned_seeds
from ablate.result import RunStatus
from ablate.stats.looks import ANYTIME, FIXED, Look, any_time, fresh_of, margin_of
from ablate.store.reading.frames import Frames
from ablate.store.writing.looks import new_look, record_look
from ablate.system.messages.console import say
from ablate.system.messages.language import _


def keep_look(frames: Frames, url: str, command: str) -> None:
    """Store that a study's verdicts were shown; not if there was none to show, or it was the same.

    A database that cannot be written can be looked at all the same: a note says so.
    """
    look = look_at(frames, command)
    if look is None:
        return
    key = (str(frames.study["name"]), frames.dataset_hash, _setting(frames))
    if why := record_look(url, key, look):
        say(_("note: that this was looked at could not be stored: {why}", why=why))


def look_at(frames: Frames, command: str) -> Look | None:
    """This look; None where no interval can be shown, and so nothing that tempts to add seeds.

    What a search's confirmation judges by fresh seeds is in it; what only the search has trained is not.
    """
    study, runs = frames.study, frames.runs
    if (study.get("recipe") or {}).get("split") == "tutorial":
        return None
    planned = planned_seeds(study)
    aliases = study.get("aliases") or {}
    last = last_seed(study, planned)
    names = runs["variant"].replace(dict(aliases))
    runs = runs.assign(variant=names, fresh=runs["seed"] > last)
    finished = runs[(runs["status"] == RunStatus.FINISHED) & runs["test_accuracy"].notna()]
    baseline = aliases.get(study["baseline"], study["baseline"])
    fresh = runs[runs["fresh"]]
    n = _counts(finished[~finished["fresh"]], planned)
    named = list(map(str, fresh["variant"].unique()))
    of_fresh = _counts(finished[finished["fresh"]], dict.fromkeys([baseline, *named]))
    if not (_comparable(n, baseline) or _comparable(of_fresh, baseline)):
        return None
    # A variant of the grid has a verdict by its own seeds and one by fresh ones: each is counted.
    counted = {name: fresh_of(name) if name in planned else name for name in named}
    family = len(planned.keys() | {name for name in named if name not in planned}) - 1
    n |= {counted[name]: of_fresh[name] for name in named}
    planned |= {counted[name]: count for name, count in _counts(fresh, named).items()}
    rule = ANYTIME if any_time(frames.looks) else FIXED
    margin = margin_of(frames.looks, study.get("equivalence_margin"))
    return new_look(rule, command, n, planned, margin, family, finished["run_key"])


def _counts(runs: pd.DataFrame, names: Iterable[str]) -> dict[str, int]:
    counts = runs["variant"].value_counts()
    return {name: int(counts.get(name, 0)) for name in names}


def _comparable(n: dict[str, int], baseline: str) -> bool:
    """Whether baseline and some variant have two runs or more, so that there is an interval."""
    return n[baseline] > 1 and any(count > 1 for name, count in n.items() if name != baseline)


def _setting(frames: Frames) -> str:
    return str(frames.runs["setting"].iloc[0])
