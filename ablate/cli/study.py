"""`ablate study …`: looking after the studies of a database. Each loads the rooms that it needs alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import typer

from ablate.cli.completion import study_files
from ablate.cli.options import DEFAULT_DB, Db
from ablate.cli.steps import begin, known_name, loading, study_name
from ablate.errors import OptionError

Which = Annotated[
    str, typer.Argument(metavar="STUDY", help="Its file, or its name.", autocompletion=study_files)
]


def list_(
    format: Annotated[
        Literal["table", "json"], typer.Option("--format", help="For people or for programs.")
    ] = "table",
    db: Db = DEFAULT_DB,
) -> None:
    """List the studies of the database: images, runs, and how many of those no other study names."""
    begin("study list")
    with loading():
        from ablate.commands.study import show_studies

    show_studies(db, format)


def rename(
    study: Which,
    new: Annotated[str, typer.Argument(metavar="NAME", help="What it will be called.")],
    db: Db = DEFAULT_DB,
) -> None:
    """Give a study another name in the database; every result stays."""
    old = known_name(study_name(study))
    if known_name(new) == old:
        raise OptionError(f"study rename: {old} is its name already: give another one")
    begin("study rename", about=f"{old} to {new}")
    with loading():
        from ablate.commands.study import rename as rename_study

    rename_study(old, new, db)


def delete(
    study: Which,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    db: Db = DEFAULT_DB,
) -> None:
    """Delete a study and those of its runs that no other study names. Asks first."""
    name = known_name(study_name(study))
    begin("study delete", about=name)
    with loading():
        from ablate.commands.study import delete as delete_study

    delete_study(name, db, yes=yes)


STUDY_COMMANDS: dict[str, Callable[..., None]] = {
    "list": list_,
    "rename": rename,
    "delete": delete,
}

app = typer.Typer(help="List, rename or delete the studies of a database.", no_args_is_help=True)
for _name, _command in STUDY_COMMANDS.items():
    app.command(_name)(_command)
