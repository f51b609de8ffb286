"""How to get the same numbers: the commands, and the run that each number is of."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ablate.page import format as fmt
from ablate.page.document import Column, Note, Row, Table, TableCell, Value
from ablate.report.summary import Summary
from ablate.system.messages.language import N_, _, amount

MOST_RUNS = 1000
COLUMNS = {
    "run_key": N_("Run"), "variant": N_("Variant"), "seed": N_("Seed"), "fold": N_("Fold"),
    "status": N_("Status"), "val_accuracy": N_("Validation"), "test_accuracy": N_("Test"),
    "device": N_("Device"), "precision": N_("Precision"), "finished_at": N_("Finished"),
}  # fmt: skip
"""Columns of `v_runs`, and what the table calls them; the fold where there are folds."""
SHARES = ("val_accuracy", "test_accuracy")


def steps(summary: Summary) -> tuple[Note, ...]:
    """What to type, as far as it was recorded."""
    commands = dict.fromkeys(
        str(e["command"]) for e in summary.environments if e.get("command") not in (None, "")
    )
    commits = dict.fromkeys(str(e["commit"]) for e in summary.environments if e.get("commit"))
    at = _(" at commit {commits}", commits=", ".join(commits)) if commits else ""
    ran = _(" It was run by: {commands}.", commands="; ".join(commands)) if commands else ""
    return (
        Note(
            _(
                "Install what the lock file of this project pins{at}, then `ablate run` with "
                "the study file, and `ablate report` with the same --data and --set.{ran} A "
                "run that is there already is not trained again: an empty database trains "
                "all of them. Every number rests on the runs below, by their keys in v_runs "
                "of the database.",
                at=at,
                ran=ran,
            )
        ),
    )


def runs_table(summary: Summary) -> Table | None:
    """Every run, folded; the file runs.csv has all of them where there are many."""
    runs = _sorted(summary)
    if runs.empty:
        return None
    if summary.elsewhere:
        runs = runs.drop(columns=["device", "precision"]).dropna(axis="columns", how="all")
    rows = tuple(_row(row) for row in runs.head(MOST_RUNS).to_dict("records"))
    columns = tuple(
        Column(_called(name, summary), numeric=name in ("seed", "fold", *SHARES))
        for name in runs.columns
    )
    left = len(runs) - len(rows)
    caption = _("The runs that every number rests on.") + (
        _(" {left:,} more are in runs.csv.", left=left) if left else ""
    )
    return Table(caption, columns, rows, folded=_("All {runs}", runs=amount(len(runs), "run")))


def _called(column: str, summary: Summary) -> str:
    """What a column is called; of runs from elsewhere it is known when they came, and not when they ended."""
    return _("Imported") if summary.elsewhere and column == "finished_at" else _(COLUMNS[column])


def run_records(summary: Summary) -> list[dict[str, Value]]:
    """The same for programs: every run, accuracies as fractions."""
    rows = _sorted(summary).to_dict("records")
    return [{str(name): _plain(value) for name, value in row.items()} for row in rows]


def _sorted(summary: Summary) -> pd.DataFrame:
    place = {variant.name: i for i, variant in enumerate(summary.variants)}
    runs = summary.fold_runs.assign(place=summary.fold_runs["variant"].map(place))
    shown = [name for name in COLUMNS if name != "fold" or summary.folds > 1]
    return runs.sort_values(["place", "seed", "fold"], kind="stable")[shown]


def _row(row: dict[Any, Any]) -> Row:
    return Row(tuple(TableCell(_told(name, _plain(value))) for name, value in row.items()))


def _told(name: str, value: Value) -> str:
    return fmt.percent(value) if name in SHARES and isinstance(value, float) else fmt.value(value)


def _plain(value: Any) -> Value:
    if value is None or pd.isna(value):
        return None
    if isinstance(value, str):
        return str(value)
    return (
        int(value) if float(value).is_integer() and not isinstance(value, float) else float(value)
    )
