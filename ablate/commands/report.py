"""`ablate report`: from the database to files that one can send."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablate.commands.chosen import frames_of
from ablate.commands.looked import keep_look
from ablate.errors import StudyError, nearest
from ablate.report.render import differing_files, write_report
from ablate.result.search import Called, SearchResult
from ablate.store.frames import Frames
from ablate.store.trials import TrialStore, search_key
from ablate.study import Study
from ablate.study.meant import or_meant
from ablate.system.console import files_told, say
from ablate.system.inside import inside
from ablate.system.pulse import PULSE

WORDING = ("question", "baseline", "equivalence_margin", "controls", "metric")
"""What a report takes from the study file as it is now: it changes no run."""


def build_report(study: Study, data: Path | None, url: str, out: Path | None) -> None:
    """Write a study's report and say where it lies.

    Raises:
        StudyError: a dataset or a baseline that is not there.
        DatabaseError: there is nothing of this study in the database.
        OutputError: the folder cannot be written.
    """
    frames = frames_to_show(study, data, url)
    PULSE.step("computing")
    files = write_report(frames, out or _usual_folder(study))
    for line in files_told(files):
        say(line)
    keep_look(frames, url, "report")
    say(f"next: open {next(file for file in files if file.suffix == '.html')}")


def check_report(
    study: Study, data: Path | None, url: str, out: Path | None, *,
    alone: bool = False, remedy: str = "`ablate report` writes it anew",
) -> int:  # fmt: skip
    """Say which files of a study's report are not what the database gives; returns how many.

    With `alone` there may be no others beside them.

    Raises:
        StudyError, DatabaseError: as `build_report`.
        OutputError: the report cannot be read.
    """
    folder = out or _usual_folder(study)
    differing = differing_files(frames_to_show(study, data, url), folder, alone=alone)
    for file in differing:
        say(f"{file}: not what the database gives; {remedy}")
    return len(differing)


def frames_to_show(study: Study, data: Path | None, url: str) -> Frames:
    """What the database has of a study, as it is worded now, with what its search has found."""
    PULSE.step("reading the database")
    frames = frames_of(study, data, url)
    ran = map(str, frames.study["variants"])
    study = study.model_copy(update={"baseline": or_meant(study.baseline, ran)})
    if frames.study.get("grid") != study.model_dump(mode="json")["grid"]:
        say(
            "note: the grid has changed since it was run; this report shows the grid that was run. "
            "`ablate run STUDY` brings it up to date"
        )
    return replace(
        frames, study=_as_worded(frames.study, study), search=_searched(study, frames, url)
    )


def _usual_folder(study: Study) -> Path:
    return inside(Path("reports"), study.name)


def _searched(study: Study, frames: Frames, url: str) -> SearchResult | None:
    """What the study's search has found; None without one."""
    if study.search is None:
        return None
    # Here, not above: Optuna takes a second, and most studies have no search.
    from ablate.search.record import read_search

    key = search_key(study, str(frames.study["dataset"]), frames.dataset_hash)
    store = TrialStore(url, create=False)
    try:
        found = read_search(store, key, study.search, _names(frames))
    finally:
        store.close()
    if found is None:
        say(
            "note: no trial of the search that the study file describes; another space, sampler or number "
            "of seeds is another search"
        )
    return found


def _names(frames: Frames) -> dict[str, Called]:
    """What the study calls each of its networks, by fingerprint."""
    columns = ["fingerprint", "variant", "attention", "position", "options"]
    runs = frames.runs[columns].drop_duplicates("fingerprint")
    return {
        str(fingerprint): Called(str(variant), str(attention), position, json.loads(options))
        for fingerprint, variant, attention, position, options in runs.itertuples(index=False)
    }


def _as_worded(stored: Mapping[str, Any], study: Study) -> dict[str, Any]:
    """The study that was run, with the question, baseline, metric and margin that are asked for now."""
    if study.baseline not in stored["variants"]:
        names = list(map(str, stored["variants"]))
        raise StudyError(
            f"the baseline {study.baseline!r} is no variant that was run"
            f"{nearest(study.baseline, names)}; there are: {', '.join(names)}"
        )
    return {**stored, **study.model_dump(mode="json", include=set(WORDING))}
