"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ablate.cli.completion import study_files

DEFAULT_DB = "sqlite:///results/ablation.db"

StudyFile = Annotated[
    Path,
    typer.Argument(
        metavar="STUDY", help="A study file (studies/*.toml).", autocompletion=study_files
    ),
]
StudyFiles = Annotated[
    list[Path],
    typer.Argument(
        metavar="STUDY",
        help="A study file (studies/*.toml); several, or names of studies in the database, for one report.",
        autocompletion=study_files,
    ),
]
OfStudy = Annotated[
    Path,
    typer.Option(
        "--study",
        metavar="STUDY",
        help="The study file that they belong to.",
        autocompletion=study_files,
    ),
]
Db = Annotated[str, typer.Option("--db", metavar="URL", help="The results database.")]
DataPath = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="A folder or archive of images, instead of the study's dataset.",
    ),
]
Rehash = Annotated[
    bool,
    typer.Option(
        "--rehash", help="Read every image of --data again, also of files that look unchanged."
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a key of the study: recipe.epochs=1. Repeatable."
    ),
]
Seeds = Annotated[int | None, typer.Option("--seeds", metavar="N", help="Seeds for each variant.")]
BaselineSeeds = Annotated[
    int | None, typer.Option("--baseline-seeds", metavar="N", help="Seeds for the baseline.")
]
AllowImport = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-import",
        metavar="PACKAGE",
        help="A package whose networks, attention and metric the study may use: its code will run. "
        "Repeatable; remembered for this study file as it is.",
    ),
]
NoProbe = Annotated[
    bool,
    typer.Option(
        "--no-probe", help="Take no training step of each network to see that it can be trained."
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        "--storage", metavar="URL", help="Optuna's storage: optuna.db beside the database."
    ),
]
FailOn = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-on",
        metavar="VERDICT",
        help="Exit code 4 if a variant has this verdict: worse. Repeatable.",
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="HOST:PORT",
        help="With --executor ray: the cluster to use; unless set Ray is started on this machine alone.",
    ),
]
GpuShare = Annotated[
    float | None,
    typer.Option(
        "--gpu-share",
        metavar="S",
        help="With --executor ray: how much of a GPU a cohort gets, 0.01 to 1; all of one unless set.",
    ),
]
FilesOption = Annotated[
    str | None,
    typer.Option(
        "--files",
        metavar="PLACE",
        help="Where checkpoints and weights lie, unless beside the database: a folder, s3://BUCKET/PATH.",
    ),
]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where to train.")]
