"""`ablate report A B …`: one report over several studies, by their files or their names in the database."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import pandas as pd

from ablate.commands.contexts import frames_in_contexts
from ablate.commands.folders import Report, usual_folder
from ablate.commands.looked import keep_look
from ablate.errors import DatabaseError, OptionError
from ablate.report.effects.contexts import InContext
from ablate.report.files.export import over_csv
from ablate.report.files.numbers import json_text
from ablate.report.render import differing_in
from ablate.report.several.compared import refuse_strangers
from ablate.report.several.over import with_pages, write_over
from ablate.report.several.parts import make_parts
from ablate.report.several.story import compose_several, several_numbers
from ablate.report.summary import Summary, summarize
from ablate.result import RunStatus
from ablate.result.failures import failed_told
from ablate.store.reading.elsewhere import elsewhere_of
from ablate.store.reading.frames import Frames, Which, read_frames
from ablate.store.reading.held import held_of
from ablate.study import Study
from ablate.system.digest import digest
from ablate.system.messages.console import files_told, say
from ablate.system.messages.language import ENGLISH, Said, _, retold, spoken
from ablate.system.messages.pulse import PULSE

MOST_LETTERS = 60
"""Of the names of studies in the name of a folder."""
Asked = str | Sequence[Study]
"""A study's name in the database, or its file's contexts."""


def build_several(
    asked: Sequence[Asked], data: Path | None, url: str, out: Path | None
) -> list[Summary]:
    """Write the report over these studies, and say where it lies; returns what it is made from.

    Raises:
        OptionError: a study that is named twice, has nothing in common with the others, or stands alone.
        UnknownNameError: the database has no study of that name.
        DatabaseError: there is nothing of one, or its baseline has no finished run.
        OutputError: the folder cannot be written.
    """
    found = _found(asked, data, url)
    parts = _parts(found)
    PULSE.step(_("drawing"))
    files = write_over(out or folder_of(parts), rendered(parts))
    for line in files_told(files):
        say(line)
    _keep_looks(found, url)
    say(_("next: open {file}", file=files[-1]))
    return [part.summary for part in parts]


def print_several(asked: Sequence[Asked], data: Path | None, url: str) -> list[Summary]:
    """Print its report.json and write nothing; notes go to stderr.

    Raises:
        OptionError, UnknownNameError, DatabaseError: as `build_several`.
    """
    with redirect_stdout(sys.stderr):
        found = _found(asked, data, url)
        parts = _parts(found)
        _keep_looks(found, url)
        PULSE.end()
    print(json_text(several_numbers(parts)), end="")
    return [part.summary for part in parts]


def check_several(asked: Sequence[Asked], data: Path | None, url: str, out: Path | None) -> int:
    """Say which files of the report are not what the database gives; returns how many.

    Raises:
        OptionError, UnknownNameError, DatabaseError: as `build_several`.
    """
    parts = _parts(_found(asked, data, url))
    differing = differing_in(out or folder_of(parts), rendered(parts))
    for file in differing:
        say(_("{file}: not what the database gives; `ablate report` writes it anew", file=file))
    return len(differing)


def rendered(parts: Sequence[InContext]) -> dict[str, bytes]:
    """The content of every file by its name; report.html is last."""
    with spoken(ENGLISH):
        texts = {
            "variants.csv": over_csv("study", [(part.name, part.summary) for part in parts]),
            "report.json": json_text(several_numbers(parts)),
        }
    return with_pages(texts, compose_several(parts))


def folder_of(parts: Sequence[InContext]) -> Path:
    """`reports/a-and-b`; of many names the first ones, and a hash of all of them; with a hash of what it
    tells of where another report lies there.
    """
    names = list(dict.fromkeys(str(part.summary.study["name"]) for part in parts))
    joined = "-and-".join(names) if len(names) > 1 else f"{names[0]}-all"
    if len(joined) > MOST_LETTERS:
        joined = f"{joined[:MOST_LETTERS].rstrip('-')}-{digest(names)[:8]}"
    told = {(str(part.summary.study.get("setting") or ""), part.dataset_hash) for part in parts}
    apart = f"{joined}-{digest(sorted(told))[:8]}"
    return usual_folder(Report("studies", frozenset(told)), joined, apart)


def _found(asked: Sequence[Asked], data: Path | None, url: str) -> list[Frames]:
    """What the database has of each study.

    Raises:
        OptionError, UnknownNameError, DatabaseError: as `build_several`.
    """
    PULSE.step(_("reading the database"))
    found: list[Frames] = []
    for each in asked:
        own = _by_name(each, url) if isinstance(each, str) else _of_file(each, data, url)
        found += _begun(own)
    twice = [key for key, n in Counter(map(_key, found)).items() if n > 1]
    if twice:
        raise OptionError(
            f"{twice[0][0]} is named twice, with the same images and setting: name it once"
        )
    if len(found) < 2:
        raise OptionError(
            f"{found[0].study['name']}: the database holds it on one data set under one setting alone: name "
            "its study file, or another study beside it"
        )
    return found


def _by_name(name: str, url: str) -> list[Frames]:
    if elsewhere_of(url, name) is not None:
        raise OptionError(
            f"{name}: its runs were trained elsewhere, and nobody here knows under what: its report stands "
            f"by itself (`ablate report {name}`)"
        )
    held = held_of(url, name)
    return [
        read_frames(url, each.study, each.setting, Which(each.dataset_hash, each.dataset))
        for each in held
    ]


def _of_file(studies: Sequence[Study], data: Path | None, url: str) -> list[Frames]:
    return [frames for _context, frames in frames_in_contexts(studies, data, url)]


def _begun(found: Sequence[Frames]) -> list[Frames]:
    """Those whose baseline has a finished run; of others a note says so.

    Raises:
        DatabaseError: it has none in any.
    """
    there = [frames for frames in found if _has_baseline(frames)]
    for frames in found:
        study, runs = frames.study, _of_baseline(frames)
        failed = list(runs.loc[runs["status"] == RunStatus.FAILED, "failure"])
        said = Said(
            "{study} on {dataset}: its baseline {baseline} has no finished run yet, and every effect is to "
            "the baseline: {why}",
            study=study["name"],
            dataset=study["dataset"],
            baseline=study["baseline"],
            why=failed_told(failed, len(runs)) or Said("`ablate run` trains it"),
        )
        if not there:
            raise DatabaseError(said)
        if not _has_baseline(frames):
            say(_("note: left out: {said}", said=retold(said)))
    return there


def _has_baseline(frames: Frames) -> bool:
    runs = _of_baseline(frames)
    return bool(runs.loc[runs["status"] == RunStatus.FINISHED, "test_accuracy"].notna().any())


def _of_baseline(frames: Frames) -> pd.DataFrame:
    study, runs = frames.study, frames.runs
    baseline = (study.get("aliases") or {}).get(study["baseline"], study["baseline"])
    found: pd.DataFrame = runs[runs["variant"] == baseline]
    return found


def _parts(found: Sequence[Frames]) -> list[InContext]:
    PULSE.step(_("computing"))
    parts = make_parts([(summarize(frames), frames.dataset_hash) for frames in found])
    refuse_strangers(parts)
    return parts


def _key(frames: Frames) -> tuple[str, str, str]:
    return str(frames.study["name"]), frames.dataset_hash, str(frames.study.get("setting"))


def _keep_looks(found: Sequence[Frames], url: str) -> None:
    for frames in found:
        keep_look(frames, url, "report")
