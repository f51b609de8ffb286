"""`ablate report`: from the database to files that one can send."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ablate.commands.chosen import Asked, frames_of
from ablate.commands.folders import Report, usual_folder
from ablate.commands.looked import keep_look
from ablate.errors import OptionError, StudyError, nearest, unknown
from ablate.report.files.comment import comment
from ablate.report.files.numbers import report_json
from ablate.report.findings import LEAKED
from ablate.report.gallery import FIGURES, draw_figure
from ablate.report.render import WIDE, ForPaper, differing_files, write_figure, write_report
from ablate.report.summary import Summary, summarize
from ablate.result.search import Called, SearchResult
from ablate.store.reading.frames import Frames
from ablate.store.writing.trials import TrialStore, search_key
from ablate.study import Study
from ablate.study.meant import or_meant
from ablate.study.names import controls_here
from ablate.study.own_code import sources_in
from ablate.system.files.inside import inside
from ablate.system.messages.console import files_told, say
from ablate.system.messages.language import _
from ablate.system.messages.pulse import PULSE
from ablate.system.messages.text import plural

SHORT = 8
WORDING = ("question", "baseline", "equivalence_margin", "controls", "metric")
"""What a report takes from the study file as it is now: it changes no run."""


def build_report(
    study: Asked, data: Path | None, url: str, out: Path | None, paper: ForPaper = WIDE
) -> Summary:
    """Write a study's report and say where it lies; returns what it is made from.

    Raises:
        StudyError: a dataset or a baseline that is not there.
        DatabaseError: there is nothing of this study in the database.
        OutputError: the folder cannot be written.
    """
    frames = frames_to_show(study, data, url)
    PULSE.step(_("computing"))
    summary = summarize(frames)
    files = write_report(summary, out or folder_of(study, frames), paper)
    for line in files_told(files):
        say(line)
    keep_look(frames, url, "report")
    say(_("next: open {file}", file=next(file for file in files if file.suffix == ".html")))
    return summary


def print_report(
    study: Asked, data: Path | None, url: str, what: Literal["json", "comment"]
) -> Summary:
    """Print report.json, or a comment for a pull request, and write nothing; notes go to stderr.

    Raises:
        StudyError, DatabaseError: as `build_report`.
    """
    with redirect_stdout(sys.stderr):
        frames = frames_to_show(study, data, url)
        PULSE.step(_("computing"))
        summary = summarize(frames)
        keep_look(frames, url, "report")
        PULSE.end()
    print(report_json(summary) if what == "json" else comment(summary), end="")
    return summary


def draw_one(
    study: Asked, data: Path | None, url: str, out: Path | None, name: str, inches: float | None
) -> None:
    """Write one figure, of that width, in every format, with its data.

    Raises:
        UnknownNameError: no such figure.
        OptionError: this study has nothing to show in it.
        StudyError, DatabaseError, OutputError: as `build_report`.
    """
    if name not in FIGURES:
        raise unknown("figure", name, FIGURES)
    frames = frames_to_show(study, data, url)
    PULSE.step(_("drawing"))
    figure = draw_figure(name, summarize(frames), inches)
    if figure is None:
        raise OptionError(f"--figure {name}: this study has nothing to show in it")
    folder = out or inside(folder_of(study, frames), "paper")
    for line in files_told(write_figure(figure, folder)):
        say(line)
    keep_look(frames, url, "report")


def failing(summary: Summary, verdicts: Sequence[str]) -> list[str]:
    """The variants with one of these verdicts.

    Raises:
        OptionError: of a test-leaked study no verdict is claimed.
    """
    if verdicts and summary.leaked:
        raise OptionError(f"--fail-on: {LEAKED}")
    return [v.name for v in summary.tested if v.effect and v.effect.verdict in verdicts]


def refuse_unjudged(found: Sequence[Summary], asked: int) -> None:
    """Refuse to pass where a study, or one of the contexts asked for, has nothing to be judged by yet.

    Raises:
        OptionError: there is no pair of finished runs in it.
    """
    without = asked - sum(map(_is_judged, found))
    if without:
        raise OptionError(
            f"--fail-on: {without:,} of {plural(asked, 'context')} asked for: no finished run of the "
            "baseline and of another variant yet, so there is no verdict: `ablate run` trains them"
        )


def _is_judged(summary: Summary) -> bool:
    """Whether a variant was compared with the baseline, where there is another one."""
    others = [each for each in summary.variants if not each.is_baseline and each.same_as is None]
    return not others or (summary.reference.n > 0 and any(each.n for each in others))


def check_report(
    study: Asked, data: Path | None, url: str, out: Path | None, *,
    paper: ForPaper = WIDE, alone: bool = False, remedy: str = "",
) -> int:  # fmt: skip
    """Say which files of a study's report are not what the database gives; returns how many.

    With `alone` there may be no others beside them.

    Raises:
        StudyError, DatabaseError: as `build_report`.
        OutputError: the report cannot be read.
    """
    frames = frames_to_show(study, data, url)
    folder = out or folder_of(study, frames)
    differing = differing_files(summarize(frames), folder, paper, alone=alone)
    for file in differing:
        say(
            _(
                "{file}: not what the database gives; {remedy}",
                file=file,
                remedy=remedy or _("`ablate report` writes it anew"),
            )
        )
    return len(differing)


def frames_to_show(study: Asked, data: Path | None, url: str) -> Frames:
    """What the database has of a study, as it is worded now, with what its search has found."""
    PULSE.step(_("reading the database"))
    frames = frames_of(study, data, url)
    if isinstance(study, str):
        return frames
    ran = map(str, frames.study["variants"])
    study = study.model_copy(update={"baseline": or_meant(study.baseline, ran)})
    if frames.study.get("grid") != study.model_dump(mode="json")["grid"]:
        say(
            _(
                "note: the grid has changed since it was run; this report shows the grid "
                "that was run. `ablate run STUDY` brings it up to date"
            )
        )
    return replace(
        frames, study=_as_worded(frames.study, study), search=_searched(study, frames, url)
    )


def folder_of(study: Asked, frames: Frames) -> Path:
    """`reports/<study>`; with the setting behind it where another report lies there."""
    name = study if isinstance(study, str) else study.name
    setting, content = str(frames.study.get("setting") or ""), frames.dataset_hash
    apart = "-".join((name, setting[:SHORT], *([content[:SHORT]] if content else [])))
    return usual_folder(Report("study", frozenset([(setting, content)])), name, apart)


def _searched(study: Study, frames: Frames, url: str) -> SearchResult | None:
    """What the study's search has found; None without one."""
    if study.search is None:
        return None
    # Here, not above: Optuna takes a second, and most studies have no search.
    from ablate.search.record import read_search

    brought = sources_in(frames.study), frames.study.get("weights_sha256")
    key = search_key(study, str(frames.study["dataset"]), frames.dataset_hash, *brought)
    store = TrialStore(url, create=False)
    try:
        names = _names(frames)
        called = {each.variant: network for network, each in names.items()}
        found = read_search(store, key, study.search, names, called.get(study.baseline))
    finally:
        store.close()
    if found is None:
        say(
            _(
                "note: no trial of the search that the study file describes; another space, "
                "sampler or number of seeds is another search"
            )
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
    names = list(map(str, stored["variants"]))
    if study.baseline not in names:
        raise StudyError(
            f"the baseline {study.baseline!r} is no variant that was run"
            f"{nearest(study.baseline, names)}; there are: {', '.join(names)}"
        )
    worded = study.model_dump(mode="json", include=set(WORDING))
    return {**stored, **worded, "controls": list(controls_here(study, names))}
