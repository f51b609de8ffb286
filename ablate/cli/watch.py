"""Commands that show how far something is. Each loads the rooms that it needs."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ablate.cli.completion import study_files
from ablate.cli.options import DEFAULT_DB, AllowImport, Assignments, DataPath, Db, Rehash, Storage
from ablate.cli.steps import (
    allow,
    begin,
    load,
    load_all,
    loading,
    refuse_elsewhere,
    rehash,
    study_name,
    tell_next,
)
from ablate.errors import OptionError, StudyError
from ablate.system.messages.language import _

if TYPE_CHECKING:
    from ablate.store.progress.status import StudyStatus

MOST = 200
"""Study files of a folder that are looked into for the one of a study."""


def status(
    which: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDY]",
            help="One study alone: its file, or its name.",
            autocompletion=study_files,
        ),
    ] = None,
    format: Annotated[
        Literal["table", "json"], typer.Option("--format", help="For people or for programs.")
    ] = "table",
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again every 2 seconds, until Ctrl-C.")
    ] = False,
    db: Db = DEFAULT_DB,
) -> None:
    """Show how far every study has come: counts, who trains what, and how long it will take."""
    if watch and format == "json":
        raise OptionError("--watch and --format json: a program calls again; leave --watch out")
    name = study_name(which)
    begin("status", about=name or "")
    with loading():
        from ablate.commands.status import next_study, show_status

    found = show_status(name, db, format, watch=watch)
    if format == "table" and (each := next_study(found)) is not None:
        _next_of(each, which, db)


def _next_of(status: StudyStatus, which: str | None, db: str) -> None:
    """What to type next for a study, by its file if that is found here."""
    from ablate.system.messages.console import say

    if status.elsewhere:
        tell_next("report", Path(status.study), db=db)
        return
    command = "search" if status.open_trials else "run" if status.missing else "report"
    for file in _files_of(status.study, which):
        with suppress(StudyError):  # another file of that name: what was asked for has been shown
            known = [(each.setting, each.dataset) for each in load_all(file, None)]
            same = (status.setting, status.dataset) in known
            note = "" if same else _(", with the --data and --set that it was run with")
            tell_next(command, file, db=db, note=note)
            return
    say(
        _(
            "next: ablate {command} with the file of study {study}, which is not in this folder",
            command=command,
            study=status.study,
        )
    )


def _files_of(study: str, which: str | None) -> Iterator[Path]:
    """Files that say they are this study: the one given, those called like it, any here or in studies/."""
    given = [Path(which)] if which is not None and which.endswith(".toml") else []
    folders = (Path(), Path("studies"))
    called = [folder / f"{study}.toml" for folder in folders]
    others = [file for folder in folders for file in islice(sorted(folder.glob("*.toml")), MOST)]
    for file in dict.fromkeys((*given, *called, *others)):
        with suppress(OSError, ValueError):  # not there, not to be read, not TOML
            if tomllib.loads(file.read_text(encoding="utf-8-sig")).get("name") == study:
                yield file


def dashboard(
    db: Db = DEFAULT_DB,
    storage: Storage = None,
    port: Annotated[
        int,
        typer.Option(
            "--port", min=1, max=65535, metavar="N", help="The next free one if it is in use."
        ),
    ] = 8080,
) -> None:
    """Show searches in Optuna's dashboard, on this machine only."""
    begin("dashboard")
    with loading():
        from ablate.commands.dashboard import DashboardOptions, show_dashboard

    show_dashboard(db, DashboardOptions(storage, port))


def tensorboard(
    study: Annotated[
        Path | None,
        typer.Argument(
            metavar="[STUDY]",
            help="Show one study alone, not the whole database.",
            autocompletion=study_files,
        ),
    ] = None,
    db: Db = DEFAULT_DB,
    data: DataPath = None,
    again: Rehash = False,
    set: Assignments = None,
    port: Annotated[
        int,
        typer.Option(
            "--port", min=1, max=65535, metavar="N", help="The next free one if it is in use."
        ),
    ] = 6006,
    logdir: Annotated[
        Path | None,
        typer.Option("--logdir", metavar="DIR", help="Default: tensorboard, beside the database."),
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Write the event files anew from the database.")
    ] = False,
    no_serve: Annotated[
        bool, typer.Option("--no-serve", help="Write the event files, and end.")
    ] = False,
    allow_import: AllowImport = None,
) -> None:
    """Show training in TensorBoard, on this machine, as it goes on; training itself pays nothing."""
    if study is None and (set or data is not None):
        raise OptionError("--set and --data belong to a study: name the study file too")
    rehash(again)
    refuse_elsewhere("tensorboard", study, db)
    question = load(study, set) if study else None
    allow(allow_import, study)
    begin("tensorboard", about=question.name if question else "")
    with loading():
        from ablate.commands.tensorboard import TensorBoardOptions, show_tensorboard

    show_tensorboard(question, db, TensorBoardOptions(logdir, port, rebuild, not no_serve, data))
