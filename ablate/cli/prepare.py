"""Commands before any training: what a study will do, a study to begin with. Each loads rooms of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ablate.cli.completion import ready_names
from ablate.cli.exits import EXIT_FAILED_RUNS
from ablate.cli.options import (
    DEFAULT_DB,
    AllowImport,
    Assignments,
    BaselineSeeds,
    DataPath,
    Db,
    NoProbe,
    Rehash,
    Seeds,
    StudyFile,
)
from ablate.cli.steps import (
    allow,
    as_typed,
    begin,
    check,
    load_all,
    loading,
    refuse_elsewhere,
    rehash,
    tell_next,
)
from ablate.errors import OptionError


def plan(
    study: StudyFile,
    format: Annotated[
        Literal["table", "json"], typer.Option("--format", help="For people or for programs.")
    ] = "table",
    db: Db = DEFAULT_DB,
    data: DataPath = None,
    again: Rehash = False,
    set: Assignments = None,
    seeds: Seeds = None,
    baseline_seeds: BaselineSeeds = None,
    allow_import: AllowImport = None,
    no_probe: NoProbe = False,
) -> None:
    """List the cells of a study: parameters, MACs, status and what is missing. Trains nothing."""
    rehash(again)
    refuse_elsewhere("plan", study, db)
    questions = load_all(study, set, seeds, baseline_seeds)
    allow(allow_import, study)
    check(*questions)
    begin("plan", questions[0], contexts=len(questions))
    with loading():
        from ablate.commands.plan import show_plans

    show_plans(questions, data, db, format, probe=not no_probe)
    if format == "table":
        trains = "run" if questions[0].search is None else "search"
        tell_next(trains, study, db=db, data=data, set=as_typed(set, seeds, baseline_seeds))


def check_attention(
    attention: Annotated[
        str,
        typer.Argument(
            metavar="PACKAGE.MODULE:CLASS",
            help="Your module, with options in brackets: mypkg.att:CoordAtt(reduction=4).",
        ),
    ],
    format: Annotated[
        Literal["table", "json"], typer.Option("--format", help="For people or for programs.")
    ] = "table",
    allow_import: AllowImport = None,
) -> None:
    """Hold your own attention to the contract that ours is held to: shapes, gradients, state, cost."""
    allow(allow_import, None)
    begin("check-attention", about=attention)
    with loading():
        from ablate.commands.check_attention import check_attention as look

    if not look(attention, format):
        raise typer.Exit(EXIT_FAILED_RUNS)


def init(
    backbone: Annotated[
        str | None, typer.Argument(metavar="BACKBONE", help="A network, by its name.")
    ] = None,
    ready: Annotated[
        str | None,
        typer.Option(
            "--study",
            metavar="NAME",
            help="A study that comes with ablate, instead.",
            autocompletion=ready_names,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="PATH", help="A folder or archive of images."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Default: <its name>.toml.")
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            "--image-size",
            min=8,
            max=1024,
            metavar="N",
            help="The side to which images are brought, in pixels; their own unless set.",
        ),
    ] = None,
    allow_import: AllowImport = None,
) -> None:
    """Write a study file: for a network and a folder of images, or one that comes with ablate."""
    if (backbone is None) == (ready is None):
        raise OptionError(
            "init: give either a network with --data PATH, or --study NAME: a study that comes with ablate, "
            "such as digits, which needs no images"
        )
    if ready is not None:
        if data or image_size or allow_import:
            raise OptionError(
                "--data, --image-size and --allow-import belong to a network: not with --study"
            )
        _init_ready(ready, out)
    elif data is None:
        raise OptionError(f"init {backbone}: name the images with --data PATH")
    else:
        _init_own(str(backbone), data, out, image_size, allow_import or [])


def _init_ready(name: str, out: Path | None) -> None:
    with loading():
        from ablate.commands.ready import copy_study, next_steps
    from ablate.system.messages.console import say

    file = copy_study(name, out)
    say(f"wrote {file}")
    say(f"next: {next_steps(name, file)}")


def _init_own(
    backbone: str, data: Path, out: Path | None, image_size: int | None, packages: list[str]
) -> None:
    allow(packages, None)
    begin("init", about=backbone)
    with loading():
        from ablate.commands.init import write_study
        from ablate.system.messages.console import say

    file, size = write_study(backbone, data, out, image_size, packages)
    allow(packages, file)
    say(f"wrote {file} for images of {size}×{size} pixels (image_size)")
    tell_next("plan", file, data=data)
