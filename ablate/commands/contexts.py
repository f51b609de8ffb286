"""`ablate report` and `ablate compare` of a study in each of its contexts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ablate.commands.chosen import frames_of
from ablate.commands.compare import compare_accuracies, told
from ablate.commands.looked import keep_look
from ablate.commands.report import build_report, check_report, frames_to_show
from ablate.datasets import data_of
from ablate.errors import DatabaseError, UnknownNameError
from ablate.report.contexts import InContext, render_contexts
from ablate.report.render import content_of, differing_files, write_files, write_report
from ablate.report.summary import summarize
from ablate.store.frames import Frames
from ablate.study import Study
from ablate.study.contexts import folder_name
from ablate.system.console import files_told, say
from ablate.system.context import Context, context_name
from ablate.system.inside import inside
from ablate.system.pulse import PULSE

CONTEXTS = "contexts"
"""The folder of the reports of single contexts."""


def build_reports(studies: Sequence[Study], data: Path | None, url: str, out: Path | None) -> None:
    """Write a study's report, of several contexts one over all and one of each, and say where they lie.

    Raises:
        StudyError, DatabaseError, OutputError: as `build_report`; of contexts, where nothing is there of any.
    """
    if len(studies) == 1:
        build_report(studies[0], data, url, out)
        return
    folder = out or inside(Path("reports"), studies[0].name)
    found = _frames(studies, data, url)
    PULSE.step("computing")
    named = _named(found)
    for name, (_, frames) in zip(named, found, strict=True):
        write_report(frames, inside(inside(folder, CONTEXTS), Path(name).name))
    files = write_files(folder, _rendered(named, found))
    for line in files_told(files):
        say(line)
    say(f"and a report of each context in {folder / CONTEXTS}")
    for _, frames in found:
        keep_look(frames, url, "report")
    say(f"next: open {files[-1]}")


def check_reports(studies: Sequence[Study], data: Path | None, url: str, out: Path | None) -> int:
    """Say which files of a study's reports are not what the database gives; returns how many.

    Raises:
        StudyError, DatabaseError, OutputError: as `build_reports`.
    """
    if len(studies) == 1:
        return check_report(studies[0], data, url, out)
    folder = out or inside(Path("reports"), studies[0].name)
    found = _frames(studies, data, url)
    named = _named(found)
    differing = [
        file
        for name, (_, frames) in zip(named, found, strict=True)
        for file in differing_files(frames, folder / name)
    ]
    over_all = _rendered(named, found)
    differing += [folder / n for n, text in over_all.items() if content_of(folder / n) != text]
    for file in differing:
        say(f"{file}: not what the database gives; `ablate report` writes it anew")
    return len(differing)


def compare_in_contexts(
    first: str, second: str, studies: Sequence[Study], data: Path | None, url: str
) -> None:
    """Print the effect of the second variant against the first in each context that has both.

    Raises:
        UnknownNameError: no context has such a variant.
        OptionError, DatabaseError: as `compare_accuracies`.
    """
    if len(studies) == 1:
        compare_accuracies(first, second, studies[0], data, url)
        return
    unknown: UnknownNameError | None = None
    done = 0
    for context, frames in _frames(studies, data, url):
        say(f"context {context_name(context)}")
        try:
            lines = told(summarize(frames), first, second)
        except UnknownNameError as error:
            unknown = error
            say("  not in this context")
            continue
        except DatabaseError as error:
            say(f"  {error}")
            continue
        done += 1
        for line in lines:
            say(f"  {line}")
        keep_look(frames, url, "compare")
    if unknown is not None and not done:
        raise unknown


def _frames(studies: Sequence[Study], data: Path | None, url: str) -> list[tuple[Context, Frames]]:
    """What the database has of each context; one that was never begun is told and left out."""
    PULSE.step("reading the database")
    found, missing = [], None
    for study in studies:
        try:
            frames_of(study, data_of(study, data), url)
        except DatabaseError as error:
            missing = missing or error
            say(f"note: nothing of the context {context_name(study.context)} yet")
            continue
        found.append((study.context, frames_to_show(study, data_of(study, data), url)))
    if not found and missing is not None:
        raise missing
    return found


def _named(found: Sequence[tuple[Context, Frames]]) -> list[str]:
    """The folder of each context's report, within that of the study."""
    names: list[str] = []
    for context, _ in found:
        names.append(folder_name(context, names))
    return [f"{CONTEXTS}/{name}" for name in names]


def _rendered(named: Sequence[str], found: Sequence[tuple[Context, Frames]]) -> dict[str, bytes]:
    return render_contexts(
        [
            InContext(context, name, summarize(frames), frames.dataset_hash)
            for name, (context, frames) in zip(named, found, strict=True)
        ]
    )
