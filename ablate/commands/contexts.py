"""`ablate report` and `ablate compare` of a study in each of its contexts."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ablate.commands.chosen import Asked, frames_of
from ablate.commands.compare import compare_accuracies, document, effect_of, told
from ablate.commands.folders import Report, usual_folder
from ablate.commands.looked import keep_look
from ablate.commands.report import build_report, check_report, frames_to_show, print_report
from ablate.datasets import data_of
from ablate.errors import AblateError, DatabaseError, UnknownNameError
from ablate.report.effects.contexts import InContext
from ablate.report.files.comment import comment
from ablate.report.files.numbers import json_text
from ablate.report.render import (
    CONTEXTS,
    WIDE,
    ForPaper,
    differing_in,
    of_reports,
    render,
    write_files,
)
from ablate.report.several.over import numbers_over, render_contexts
from ablate.report.summary import Summary, summarize
from ablate.store.reading.frames import Frames
from ablate.study import Study
from ablate.study.contexts import folder_name
from ablate.system.digest import digest
from ablate.system.messages.console import files_told, say
from ablate.system.messages.context import Context, context_name
from ablate.system.messages.language import _
from ablate.system.messages.pulse import PULSE

Printed = Literal["json", "comment"]


def build_reports(
    studies: Sequence[Asked], data: Path | None, url: str, out: Path | None, paper: ForPaper = WIDE
) -> list[Summary]:
    """Write a study's report, of several contexts one over all and one of each, and say where they lie;
    returns what each is made from.

    Raises:
        StudyError, DatabaseError, OutputError: as `build_report`; of contexts, where nothing is there of any.
    """
    if len(studies) == 1:
        return [build_report(studies[0], data, url, out, paper)]
    questions = _of_a_file(studies)
    found = frames_in_contexts(questions, data, url)
    folder = out or _folder_of(questions, data, found)
    PULSE.step(_("computing"))
    each = _summarized(found)
    files = write_reports(folder, each, paper)
    for line in files_told(files):
        say(line)
    say(_("and a report of each context in {folder}", folder=folder / CONTEXTS))
    for _context, frames in found:
        keep_look(frames, url, "report")
    say(_("next: open {file}", file=files[-1]))
    return [one.summary for one in each]


def write_reports(folder: Path, each: Sequence[InContext], paper: ForPaper) -> list[Path]:
    """Write all of these reports or none, in place of an earlier one; returns the files of the one over all
    contexts.

    Raises:
        OutputError: the folder cannot be written.
    """
    files = _rendered(each, paper)
    write_files(folder, files, of_reports(folder) - files.keys())
    return [folder / name for name in files if not name.startswith(f"{CONTEXTS}/")]


def _rendered(each: Sequence[InContext], paper: ForPaper) -> dict[str, bytes]:
    """The content of every file by its path inside the folder: those of each context, then those over all."""
    over, files = render_contexts(each), dict[str, bytes]()
    for one in each:
        own = render(_among(one, each), paper)
        files |= {f"{one.folder}/{name}": content for name, content in own.items()}
    return files | over


def print_reports(
    studies: Sequence[Asked], data: Path | None, url: str, what: Printed
) -> list[Summary]:
    """Print report.json over all contexts, or a comment for each, and write nothing; notes go to stderr.

    Raises:
        StudyError, DatabaseError: as `build_reports`.
    """
    if len(studies) == 1:
        return [print_report(studies[0], data, url, what)]
    questions = _of_a_file(studies)
    with redirect_stdout(sys.stderr):
        found = frames_in_contexts(questions, data, url)
        PULSE.step(_("computing"))
        each = _summarized(found)
        for _context, frames in found:
            keep_look(frames, url, "report")
        PULSE.end()
    if what == "json":
        print(numbers_over(each), end="")
    else:
        print("\n".join(comment(one.summary) for one in each), end="")
    return [one.summary for one in each]


def check_reports(
    studies: Sequence[Asked], data: Path | None, url: str, out: Path | None, paper: ForPaper = WIDE
) -> int:
    """Say which files of a study's reports are not what the database gives; returns how many.

    Raises:
        StudyError, DatabaseError, OutputError: as `build_reports`.
    """
    if len(studies) == 1:
        return check_report(studies[0], data, url, out, paper=paper)
    questions = _of_a_file(studies)
    found = frames_in_contexts(questions, data, url)
    folder = out or _folder_of(questions, data, found)
    differing = differing_in(folder, _rendered(_summarized(found), paper))
    for file in differing:
        say(_("{file}: not what the database gives; `ablate report` writes it anew", file=file))
    return len(differing)


@dataclass(frozen=True)
class Compared:
    """The verdict on a pair in each context that it was compared in, None where none is claimed, and why it
    was not in others that have it, by the context.
    """

    verdicts: tuple[str | None, ...]
    not_compared: Mapping[Context, DatabaseError] = field(default_factory=dict)


def compare_in_contexts(
    first: str, second: str, studies: Sequence[Asked], data: Path | None, url: str,
    format: Literal["words", "json"] = "words",
) -> Compared:  # fmt: skip
    """Print the effect of the second variant against the first in each context that has both; returns what
    was compared.

    Raises:
        UnknownNameError: no context has such a variant.
        OptionError, DatabaseError: as `compare_accuracies`; of contexts, where they are compared in none.
    """
    if len(studies) == 1:
        return Compared((compare_accuracies(first, second, studies[0], data, url, format),))
    questions = _of_a_file(studies)
    unknown: UnknownNameError | None = None
    documents, verdicts = [], list[str | None]()
    with redirect_stdout(sys.stderr if format == "json" else sys.stdout):
        found = frames_in_contexts(questions, data, url)
        begun = [context for context, _frames in found]
        without = {
            study.context: DatabaseError("nothing of it is in the database: `ablate run` trains it")
            for study in questions
            if study.context not in begun
        }
        for context, frames in found:
            say(_("context {context}", context=context_name(context)))
            try:
                summary = summarize(frames)
                lines, effect = told(summary, first, second), effect_of(summary, first, second)
            except UnknownNameError as error:
                unknown = error
                say(_("  not in this context"))
                continue
            except DatabaseError as error:
                without[context] = error
                say(f"  {error}")
                continue
            verdicts.append(None if effect is None else str(effect.verdict))
            compared = document(summary, first, second, effect)
            documents.append({"context": dict(context), **compared})
            for line in lines:
                say(f"  {line}")
            keep_look(frames, url, "compare")
        PULSE.end()
    if not verdicts:
        raise _compared_nowhere(first, second, without, unknown)
    if format == "json":
        left = [{"context": dict(context), "why": str(why)} for context, why in without.items()]
        printed = {"study": questions[0].name, "contexts": documents, "not_compared": left}
        print(json_text(printed), end="")
    return Compared(tuple(verdicts), without)


def _compared_nowhere(
    first: str,
    second: str,
    without: Mapping[Context, DatabaseError],
    unknown: UnknownNameError | None,
) -> AblateError:
    """Why a pair was compared in no context: that none has it, or what a context lacks."""
    if unknown is not None and not without:
        return unknown
    context, why = list(without.items())[-1]  # behind those that were never begun
    return DatabaseError(
        f"{first} and {second} can be compared in none of the contexts: in {context_name(context)} {why}"
    )


def frames_in_contexts(
    studies: Sequence[Study], data: Path | None, url: str
) -> list[tuple[Context, Frames]]:
    """What the database has of each context; one that was never begun is told and left out."""
    PULSE.step(_("reading the database"))
    found, missing = [], None
    for study in studies:
        try:
            frames_of(study, data_of(study, data), url)
        except DatabaseError as error:
            missing = missing or error
            say(
                _("note: nothing of the context {context} yet", context=context_name(study.context))
            )
            continue
        found.append((study.context, frames_to_show(study, data_of(study, data), url)))
    if not found and missing is not None:
        raise missing
    return found


def _folder_of(
    studies: Sequence[Study], data: Path | None, found: Sequence[tuple[Context, Frames]]
) -> Path:
    """`reports/<study>`; with a hash of its contexts, and of images that were chosen, where another report
    lies there.
    """
    name = studies[0].name
    told = {
        (str(frames.study.get("setting") or ""), frames.dataset_hash) for _context, frames in found
    }
    images = [] if data is None else sorted({content for _setting, content in told})
    chosen = digest([sorted({study.setting for study in studies}), images])[:8]
    return usual_folder(Report("contexts", frozenset(told)), name, f"{name}-contexts-{chosen}")


def _of_a_file(studies: Sequence[Asked]) -> list[Study]:
    """The contexts of a study file; what was trained elsewhere has one alone."""
    return [study for study in studies if isinstance(study, Study)]


def _among(one: InContext, each: Sequence[InContext]) -> Summary:
    """What the report of a context is made from: that of the others stands in a section of it."""
    return replace(one.summary, contexts=tuple(each))


def _named(found: Sequence[tuple[Context, Frames]]) -> list[str]:
    """The folder of each context's report, within that of the study."""
    names: list[str] = []
    for context, _frames_of in found:
        names.append(folder_name(context, names))
    return [f"{CONTEXTS}/{name}" for name in names]


def _summarized(found: Sequence[tuple[Context, Frames]]) -> list[InContext]:
    """Each context with what its report says, and the folder of that."""
    return [
        InContext(context, name, summarize(frames), frames.dataset_hash)
        for name, (context, frames) in zip(_named(found), found, strict=True)
    ]
