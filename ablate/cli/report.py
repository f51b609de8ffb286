"""Commands that say what was found. Each loads the rooms that it needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ablate.cli.exits import EXIT_CHANGED, EXIT_VERDICT
from ablate.cli.options import (
    DEFAULT_DB,
    Assignments,
    DataPath,
    Db,
    FailOn,
    OfStudy,
    Rehash,
    StudyFiles,
)
from ablate.cli.steps import (
    begin,
    files_or_names,
    from_elsewhere,
    inches,
    is_file,
    known_verdicts,
    load_all,
    loading,
    rehash,
    tell_next,
)
from ablate.errors import OptionError
from ablate.system.messages.language import _
from ablate.system.messages.text import plural

if TYPE_CHECKING:
    from ablate.study import Study


Way = Literal["check", "json", "files"]


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
    named = from_elsewhere("report", studies[0], db, data, set) if len(studies) == 1 else None
    if named is None and (len(studies) > 1 or not is_file(studies[0])):
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
    questions: list[Study] | list[str] = load_all(study, set) if named is None else [named]
    _begin("report", questions)
    with loading():
        from ablate.commands.contexts import Printed, build_reports, check_reports, print_reports
        from ablate.commands.report import draw_one, failing, refuse_unjudged
        from ablate.report.files.latex import paper_columns
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
    if verdicts:
        refuse_unjudged(found, len(questions))


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
        from ablate.commands.report import failing, refuse_unjudged
        from ablate.commands.several import build_several, check_several, print_several

    if way == "check":
        if check_several(asked, data, db, out):
            raise typer.Exit(EXIT_CHANGED)
        return
    found = print_several(asked, data, db) if way == "json" else build_several(asked, data, db, out)
    if any(failing(each, verdicts) for each in found):
        raise typer.Exit(EXIT_VERDICT)
    if verdicts:
        # Of a name in the database as much is asked for as it holds; what it left out was told.
        contexts = sum(1 if isinstance(each, str) else len(each) for each in asked)
        refuse_unjudged(found, max(contexts, len(found)))


def _begin(command: str, questions: list[Study] | list[str], about: str = "") -> None:
    """The first word, about a study file or the name of a study from elsewhere."""
    first = questions[0]
    if isinstance(first, str):
        begin(command, about=about or first)
    else:
        begin(command, first, about, len(questions))


def _of_one_context(questions: list[Study] | list[str], option: str) -> Study | str:
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
    named = from_elsewhere("compare", study, db, data, set)
    questions: list[Study] | list[str] = load_all(study, set) if named is None else [named]
    _begin("compare", questions, _(" and ").join((first, second)))
    with loading():
        from ablate.commands.contexts import compare_in_contexts

    found = compare_in_contexts(first, second, questions, data, db, format)
    if format == "words":
        tell_next("report", study, db=db, data=data, set=set)
    if verdicts and None in found.verdicts:
        raise OptionError("--fail-on: the study is test-leaked, so no verdict is claimed")
    if any(verdict in verdicts for verdict in found.verdicts):
        raise typer.Exit(EXIT_VERDICT)
    if verdicts and found.not_compared:
        raise OptionError(
            f"--fail-on: none of these verdicts where the two were compared, which they were not in "
            f"{plural(len(found.not_compared), 'context')}: `ablate run` them, or choose others with --set"
        )
