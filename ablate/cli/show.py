"""Commands that show what the database has. Each loads the rooms that it needs, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ablate.cli.completion import study_files
from ablate.cli.options import (
    DEFAULT_DB,
    EXIT_CHANGED,
    EXIT_VERDICT,
    AllowImport,
    Assignments,
    DataPath,
    Db,
    FailOn,
    OfStudy,
    Rehash,
    Storage,
    StudyFiles,
    allow,
    begin,
    files_or_names,
    inches,
    is_file,
    known_verdicts,
    load,
    load_all,
    loading,
    rehash,
    study_name,
    tell_next,
)
from ablate.errors import OptionError
from ablate.system.language import _

Way = Literal["check", "json", "files"]

if TYPE_CHECKING:
    from ablate.store.status import StudyStatus
    from ablate.study import Study


def report(
    studies: StudyFiles,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Default: reports/<study>.")
    ] = None,
    db: Db = DEFAULT_DB,
    data: DataPath = None,
    again: Rehash = False,
    set: Assignments = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 if a file would change.")
    ] = False,
    format: Annotated[
        Literal["files", "json"],
        typer.Option("--format", help="json: print report.json, and write nothing."),
    ] = "files",
    comment: Annotated[
        bool, typer.Option("--comment", help="Print a short Markdown for a pull request alone.")
    ] = False,
    fail_on: FailOn = None,
    figure: Annotated[
        str | None,
        typer.Option("--figure", metavar="NAME", help="Write this figure alone, in every format."),
    ] = None,
    width: Annotated[
        str | None, typer.Option("--width", metavar="LENGTH", help="Of --figure: 8.4cm, 3.3in.")
    ] = None,
    latex: Annotated[
        Literal["narrow", "wide"] | None,
        typer.Option("--latex", help="table.tex for a column or for the width of a page: wide."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns", metavar="NAMES", help="Of table.tex: variant,accuracy,difference."
        ),
    ] = None,
) -> None:
    """Build the report of a study from the database: HTML, Markdown, LaTeX, CSV, JSON and figures. Of several
    studies, by their files or their names in the database, one report that says what may be compared."""
    _one_way(check=check, json=format == "json", comment=comment, figure=figure is not None)
    verdicts = known_verdicts(fail_on)
    if width is not None and figure is None:
        raise OptionError("--width is that of one figure: name it with --figure")
    printed = "--comment" if comment else "--format json" if format == "json" else ""
    other = printed or ("--figure" if figure is not None else "")
    _without(other, **{"--latex": latex is not None, "--columns": columns is not None})
    _without(printed, **{"--out": out is not None})
    _without("--check" if check else other if not printed else "", **{"--fail-on": bool(verdicts)})
    rehash(again)
    if len(studies) > 1 or not is_file(studies[0]):
        of_one = {
            "--comment": comment,
            "--figure": figure is not None,
            "--latex": latex is not None,
        }
        _without("several studies", **of_one, **{"--columns": columns is not None})
        way: Way = "check" if check else format
        _report_several(studies, (data, set), db, out, way, verdicts)
        return
    (study,) = studies
    questions = load_all(study, set)
    begin("report", questions[0], contexts=len(questions))
    with loading():
        from ablate.commands.contexts import Printed, build_reports, check_reports, print_reports
        from ablate.commands.report import draw_one, failing
        from ablate.report.latex import paper_columns
        from ablate.report.render import ForPaper

    paper = ForPaper(latex or "wide", paper_columns(columns, latex or "wide"))
    if check:
        if check_reports(questions, data, db, out, paper):
            raise typer.Exit(EXIT_CHANGED)
        return
    if figure is not None:
        one = _of_one_context(questions, "--figure")
        draw_one(one, data, db, out, figure, None if width is None else inches(width))
        return
    if comment or format == "json":
        kind: Printed = "comment" if comment else "json"
        found = print_reports(questions, data, db, kind)
    else:
        found = build_reports(questions, data, db, out, paper)
    if any(failing(each, verdicts) for each in found):
        raise typer.Exit(EXIT_VERDICT)


def _report_several(
    studies: list[Path],
    given: tuple[Path | None, list[str] | None],
    db: str,
    out: Path | None,
    way: Way,
    verdicts: list[str],
) -> None:
    """One report over several studies; `given` are --data and --set, which study files take alone."""
    data, set = given
    asked = files_or_names(studies, data, set)
    begin("report", about=" ".join(map(str, studies)))
    with loading():
        from ablate.commands.report import failing
        from ablate.commands.several import build_several, check_several, print_several

    if way == "check":
        if check_several(asked, data, db, out):
            raise typer.Exit(EXIT_CHANGED)
        return
    found = print_several(asked, data, db) if way == "json" else build_several(asked, data, db, out)
    if any(failing(each, verdicts) for each in found):
        raise typer.Exit(EXIT_VERDICT)


def _of_one_context(questions: list[Study], option: str) -> Study:
    """The study, where it has one context.

    Raises:
        OptionError: it has several.
    """
    if len(questions) > 1:
        raise OptionError(
            f"{option} is of one context: choose it with --set, as `ablate plan` names it"
        )
    return questions[0]


def _without(way: str, **given: bool) -> None:
    """Refuse what would be of no use in this way of calling; an empty one refuses nothing."""
    useless = [name for name, there in given.items() if there]
    if way and useless:
        raise OptionError(
            f"{' and '.join(useless)}: does nothing with {way}: leave one of them out"
        )


def _one_way(**asked: bool) -> None:
    """Refuse two answers at once."""
    names = {
        "check": "--check",
        "json": "--format json",
        "comment": "--comment",
        "figure": "--figure",
    }
    given = [names[name] for name, wanted in asked.items() if wanted]
    if len(given) > 1:
        raise OptionError(f"{' and '.join(given)}: give one of them, not both")


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="The name of a variant.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The name of another.")],
    study: OfStudy,
    db: Db = DEFAULT_DB,
    data: DataPath = None,
    again: Rehash = False,
    set: Assignments = None,
    format: Annotated[
        Literal["words", "json"], typer.Option("--format", help="For people or for programs.")
    ] = "words",
    fail_on: FailOn = None,
) -> None:
    """Say in words what B does that A does not: accuracy with its interval, and cost."""
    verdicts = known_verdicts(fail_on)
    rehash(again)
    questions = load_all(study, set)
    begin("compare", questions[0], _(" and ").join((first, second)), len(questions))
    with loading():
        from ablate.commands.contexts import compare_in_contexts

    found = compare_in_contexts(first, second, questions, data, db, format)
    if format == "words":
        tell_next("report", study, db=db, data=data, set=set)
    if verdicts and None in found:
        raise OptionError("--fail-on: the study is test-leaked, so no verdict is claimed")
    if any(verdict in verdicts for verdict in found):
        raise typer.Exit(EXIT_VERDICT)


def explain(
    targets: Annotated[
        list[str],
        typer.Argument(metavar="RUN_OR_VARIANT...", help="Run keys, or names of variants."),
    ],
    study: OfStudy,
    image: Annotated[
        Path | None,
        typer.Option("--image", metavar="FILE", help="An image to look at."),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", metavar="N", help="Look at N test images; 2 unless set."),
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layers", metavar="GLOBS", help="Module paths, joined by +: conv*. Repeatable."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Default: reports/<study>/explain.")
    ] = None,
    db: Db = DEFAULT_DB,
    data: DataPath = None,
    again: Rehash = False,
    set: Assignments = None,
    allow_import: AllowImport = None,
) -> None:
    """Draw what attention does in networks, trained or not: feature maps, gates, heat maps."""
    if image is not None and samples is not None:
        raise OptionError("--image and --samples: give one of them, not both")
    rehash(again)
    question = load(study, set)
    allow(allow_import, study)
    begin("explain", question)
    with loading():
        from ablate.commands.explain import explain_targets
    from ablate.explain.explanation import Request

    globs = tuple(glob.strip() for given in layers or () for glob in given.split("+"))
    shown = 2 if samples is None else samples
    asked = Request(tuple(targets), question, db, image, shown, globs, data)
    # Untrained networks need no database; one that is named should be there.
    explain_targets(asked, out, must_exist=db != DEFAULT_DB)


def profile(
    first: Annotated[str, typer.Argument(metavar="A", help="The name of a variant.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The name of another.")],
    study: OfStudy,
    db: Db = DEFAULT_DB,
    data: DataPath = None,
    again: Rehash = False,
    set: Assignments = None,
) -> None:
    """Show where two variants differ in time, module by module, from the profiles in the database."""
    rehash(again)
    question = load(study, set)
    begin("profile", question, f"{first} and {second}")
    with loading():
        from ablate.commands.profile import compare_times

    compare_times(first, second, question, data, db)
    tell_next("compare", study, db=db, data=data, set=set, names=(first, second))


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
    from ablate.system.console import say

    command = "search" if status.open_trials else "run" if status.missing else "report"
    named = [which] if which is not None and which.endswith(".toml") else []
    for file in map(Path, (*named, f"{status.study}.toml", f"studies/{status.study}.toml")):
        if file.is_file() and (questions := load_all(file, None))[0].name == status.study:
            known = [(each.setting, each.dataset) for each in questions]
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
    question = load(study, set) if study else None
    allow(allow_import, study)
    begin("tensorboard", about=question.name if question else "")
    with loading():
        from ablate.commands.tensorboard import TensorBoardOptions, show_tensorboard

    show_tensorboard(question, db, TensorBoardOptions(logdir, port, rebuild, not no_serve, data))
