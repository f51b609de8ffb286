"""Commands that say what networks cost. Each loads the rooms that it needs."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import typer

from ablate.cli.options import (
    DEFAULT_DB,
    AllowImport,
    Assignments,
    DataPath,
    Db,
    OfStudy,
    Rehash,
    StudyFile,
)
from ablate.cli.steps import (
    allow,
    begin,
    check,
    load,
    load_all,
    loading,
    refuse_elsewhere,
    rehash,
    tell_next,
)
from ablate.errors import OptionError


def measure(
    study: StudyFile,
    db: Db = DEFAULT_DB,
    data: DataPath = None,
    again: Rehash = False,
    set: Assignments = None,
    allow_import: AllowImport = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where to measure.")
    ] = "auto",
    processes: Annotated[
        int,
        typer.Option(
            "--processes",
            min=8,
            max=1000,
            metavar="N",
            help="Fresh processes; intervals are over them.",
        ),
    ] = 8,
    rounds: Annotated[
        int,
        typer.Option(
            "--rounds",
            min=3,
            max=1000,
            metavar="N",
            help="Rounds in each process; every variant once.",
        ),
    ] = 3,
    block_seconds: Annotated[
        float,
        typer.Option(
            "--block-seconds",
            min=2,
            max=600,
            metavar="S",
            help="How long each is timed in a round.",
        ),
    ] = 2.0,
) -> None:
    """Measure how fast every variant of a study is, trained or not: the full protocol."""
    if math.isnan(block_seconds):
        raise OptionError("--block-seconds nan: write a number of seconds, 2 or more")
    rehash(again)
    refuse_elsewhere("measure", study, db)
    questions = load_all(study, set)
    allow(allow_import, study)
    check(*questions)
    begin("measure", questions[0], contexts=len(questions))
    with loading():
        from ablate.commands.measure import MeasureOptions, measure_studies

    options = MeasureOptions(device, processes, rounds, block_seconds)
    measure_studies(questions, data, db, options)
    tell_next("report", study, db=db, data=data, set=set)


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
    refuse_elsewhere("profile", study, db)
    question = load(study, set)
    begin("profile", question, f"{first} and {second}")
    with loading():
        from ablate.commands.profile import compare_times

    compare_times(first, second, question, data, db)
    tell_next("compare", study, db=db, data=data, set=set, names=(first, second))
