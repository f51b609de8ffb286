"""`ablate plan`: the cells of a study, for people or for programs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ablate.plan import Cell, Plan, make_plan
from ablate.progress import duration
from ablate.store.read import stored_speed, stored_statuses
from ablate.study import Study
from ablate.train.precision import choose_device, device_name


def show_plan(study: Study, data: Path | None, url: str, format: str) -> None:
    """Print what a study consists of and what of it is missing.

    Raises:
        AblateError: the study, the data or the database must be changed.
    """
    plan = make_plan(study, data)
    keys = [cell.run_key for cell in plan.cells if cell.run_key is not None]
    stored = stored_statuses(url, keys)
    status = {cell: stored.get(cell.run_key or "", "planned") for cell in plan.cells}
    missing = [cell for cell in plan.cells if status[cell] != "finished"]
    seconds = _estimate(plan, missing, url)
    if format == "json":
        print(json.dumps(_document(plan, status, len(missing), seconds), indent=2))
    else:
        _print_table(plan, status, len(missing), seconds)


def _estimate(plan: Plan, missing: list[Cell], url: str) -> float | None:
    """Seconds for the missing runs, from runs of this recipe's kind that this device has finished."""
    device = device_name(choose_device("auto"))
    content = plan.dataset.content_hash()
    seconds = stored_speed(url, device, content) if content else {}
    if not missing:
        return 0.0
    if not seconds:
        return None
    usual = sum(seconds.values()) / len(seconds)
    epochs = plan.study.recipe.epochs
    return sum(seconds.get(cell.architecture.fingerprint, usual) * epochs for cell in missing)


def _document(
    plan: Plan, status: dict[Cell, str], missing: int, seconds: float | None
) -> dict[str, Any]:
    cells = [
        {
            "run_key": cell.run_key,
            "variant": cell.variant.name,
            "attention": cell.variant.attention,
            "position": cell.variant.position,
            "reduction": cell.variant.option("reduction"),
            "kernel_size": cell.variant.option("kernel_size"),
            "seed": cell.seed,
            "parameters": cell.architecture.parameters,
            "attention_parameters": cell.architecture.attention_parameters,
            "macs": cell.architecture.macs,
            "status": status[cell],
        }
        for cell in plan.cells
    ]
    return {
        "study": plan.study.name,
        "cells": cells,
        "aliases": plan.aliases,
        "missing": missing,
        "estimated_seconds": seconds,
    }


def _print_table(plan: Plan, status: dict[Cell, str], missing: int, seconds: float | None) -> None:
    study = plan.study
    table = Table(title=f"{study.name}: {study.question or 'no question'}", title_justify="left")
    for heading in ("variant", "parameters", "attention", "MACs", "seeds", "status"):
        left = heading in ("variant", "status")
        table.add_column(heading, justify="left" if left else "right", no_wrap=left)
    for name, architecture in plan.variants.items():
        mine = Counter(status[cell] for cell in plan.cells if cell.variant.name == name)
        table.add_row(
            name,
            f"{architecture.parameters:,}",
            f"{architecture.attention_parameters:,}",
            f"{architecture.macs:,}",
            str(mine.total()),
            ", ".join(f"{count} {word}" for word, count in mine.items()),
        )
    console = Console()
    console.print(table, markup=False)
    for name, kept in plan.aliases.items():
        console.print(f"{name} is the same network as {kept}: one cell", markup=False)
    time = "not known yet on this machine" if seconds is None else f"about {duration(seconds)}"
    console.print(
        f"{len(plan.variants)} variants, {len(plan.cells)} cells on {plan.dataset.label} "
        f"({plan.dataset.image_size}×{plan.dataset.image_size}), {missing} missing; time: {time}",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
