"""Commands that look after databases. Each loads the rooms that it needs, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ablate.cli.completion import study_files
from ablate.cli.exits import EXIT_FAILED_RUNS
from ablate.cli.options import DEFAULT_DB, Db
from ablate.cli.steps import begin, known_name, loading, refuse_margin, study_name
from ablate.system.messages.text import plural


def export(
    format: Annotated[
        Literal["csv", "parquet", "jsonl"], typer.Option("--format", help="Of every file.")
    ] = "csv",
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A folder of its own.")] = Path(
        "export"
    ),
    which: Annotated[
        str | None,
        typer.Option(
            "--study",
            metavar="STUDY",
            help="One study alone: its file, or its name.",
            autocompletion=study_files,
        ),
    ] = None,
    no_predictions: Annotated[
        bool,
        typer.Option(
            "--no-predictions",
            help="Without what each run said of each test image, which is 16 MB of text for 290 runs of "
            "10,000 images. Which of them it got right is there in any case.",
        ),
    ] = False,
    db: Db = DEFAULT_DB,
) -> None:
    """Write the database's views for other programs, and what `ablate import` needs."""
    name = study_name(which)
    begin("export", about=name or "")
    with loading():
        from ablate.commands.transfer import export_results

    export_results(name, format, out, db, predictions=not no_predictions)


def import_(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `ablate export` wrote.")],
    db: Db = DEFAULT_DB,
) -> None:
    """Bring an export back, into an empty database."""
    begin("import", about=str(folder))
    with loading():
        from ablate.commands.transfer import import_results

    if not import_results(folder, db):
        raise typer.Exit(EXIT_FAILED_RUNS)


def import_results(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV, .jsonl or .parquet with variant, seed and test_accuracy, or with variant, seed, "
            "image, label and predicted; - is CSV from stdin.",
        ),
    ],
    study: Annotated[
        str, typer.Option("--study", metavar="NAME", help="What the study is called, or will be.")
    ],
    trainer: Annotated[
        str | None,
        typer.Option("--trainer", metavar="TEXT", help="What trained them: the report says so."),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline", metavar="VARIANT", help="Default: none or baseline, if one is there."
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", metavar="LABEL", help="What the images are called.")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin", metavar="M", help="The margin of equivalence, as a fraction: 0.005."
        ),
    ] = None,
    paired: Annotated[
        bool | None,
        typer.Option(
            "--paired/--unpaired",
            help="Runs of one seed share what they begin with and their batches. Default: they do not.",
            show_default=False,
        ),
    ] = None,
    percent: Annotated[
        bool, typer.Option("--percent", help="Accuracies are in percent, without the sign.")
    ] = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Take values that differ from those that are there."),
    ] = False,
    db: Db = DEFAULT_DB,
) -> None:
    """Bring in results that were trained elsewhere: verdicts, figures and a report, without training."""
    name = known_name(study)
    begin("import-results", about=f"{file} as {name}")
    refuse_margin(margin)
    with loading():
        from ablate.commands.import_results import Wanted, import_file

    wanted = Wanted(name, trainer, baseline, dataset, margin, paired, percent, replace)
    import_file(file, db, wanted)


def merge(
    into: Annotated[str, typer.Argument(metavar="INTO", help="The database that gets the runs.")],
    sources: Annotated[
        list[str], typer.Argument(metavar="FROM...", help="Databases to take runs from.")
    ],
) -> None:
    """Bring the runs of several databases into the first: every run once, conflicts named."""
    begin("merge", about=f"{plural(len(sources), 'database')}")
    with loading():
        from ablate.commands.transfer import merge_results

    if not merge_results(into, sources):
        raise typer.Exit(EXIT_FAILED_RUNS)


def doctor(
    db: Db = DEFAULT_DB,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove stale parts of the cache of images first.")
    ] = False,
    forgotten: Annotated[
        Path | None,
        typer.Option(
            "--forget",
            metavar="FILE",
            help="Ask again what this study file may import; nothing else.",
        ),
    ] = None,
) -> None:
    """Look at this machine and the database: versions, device, what can be written, disk, integrity."""
    begin("doctor")
    with loading():
        from ablate.commands.doctor import examine, forget

    if forgotten is not None:
        forget(forgotten)
        return
    if not examine(db, clean=clean, must_exist=db != DEFAULT_DB):
        raise typer.Exit(EXIT_FAILED_RUNS)
