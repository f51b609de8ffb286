"""Commands that look into trained networks, or take them out. Each loads the rooms that it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.options import (
    DEFAULT_DB,
    AllowImport,
    Assignments,
    DataPath,
    Db,
    Device,
    OfStudy,
    Rehash,
)
from ablate.cli.steps import (
    allow,
    begin,
    load,
    loading,
    refuse_elsewhere,
    refuse_margin,
    rehash,
)
from ablate.errors import OptionError

OfVariant = Annotated[str, typer.Argument(metavar="VARIANT", help="The name of a variant.")]
OutFile = Annotated[
    Path,
    typer.Option("--out", metavar="FILE", help="The weights; beside them what builds the network."),
]
OfSeed = Annotated[
    int | None,
    typer.Option("--seed", min=1, metavar="N", help="The best in validation unless set."),
]


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
    refuse_elsewhere("explain", study, db)
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


def take(
    variant: OfVariant,
    study: OfStudy,
    out: OutFile,
    seed: OfSeed = None,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="As ONNX too, compared in ONNX Runtime (ablate[onnx]).")
    ] = False,
    latency: Annotated[
        bool, typer.Option("--latency", help="With --onnx: measure one image there and in PyTorch.")
    ] = False,
    db: Db = DEFAULT_DB,
    data: DataPath = None,
    again: Rehash = False,
    set: Assignments = None,
    allow_import: AllowImport = None,
) -> None:
    """Take a trained network out: its weights, and a Python file that builds it with PyTorch alone."""
    rehash(again)
    refuse_elsewhere("take", study, db)
    question = load(study, set)
    allow(allow_import, study)
    begin("take", question, variant)
    with loading():
        from ablate.commands.take import Asked, take_network

    take_network(Asked(variant, question, db, out, data, seed, onnx, latency))


def fold(
    variant: OfVariant,
    study: OfStudy,
    out: OutFile,
    seed: OfSeed = None,
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin", metavar="M", help="The accuracy that may be lost, as a fraction: 0.005."
        ),
    ] = None,
    device: Device = "auto",
    db: Db = DEFAULT_DB,
    data: DataPath = None,
    again: Rehash = False,
    set: Assignments = None,
    allow_import: AllowImport = None,
) -> None:
    """Take a trained network out without attention, where a constant would do in its place."""
    refuse_margin(margin)
    rehash(again)
    refuse_elsewhere("fold", study, db)
    question = load(study, set)
    allow(allow_import, study)
    begin("fold", question, variant)
    with loading():
        from ablate.commands.fold import Asked, fold_network

    fold_network(Asked(variant, question, db, out, data, seed, margin, device))
