"""The smaller tables: failures, aliases, layers, operators, recipe and environment."""

from __future__ import annotations

import math

import pandas as pd

from ablate.page import format as fmt
from ablate.page.document import Column, Row, Table, TableCell
from ablate.report.summary import Summary
from ablate.result import RunStatus
from ablate.study.data import DATA_PROTOCOL
from ablate.study.keys import by_difference
from ablate.study.own_code import METRIC_SOURCE
from ablate.system.messages.language import ENGLISH, _, language

MAX_ERROR = 200
MAX_ENVIRONMENTS = 6
MAX_LAYERS = 400


def failures_table(summary: Summary) -> Table | None:
    """Every failed run with one line of its error."""
    runs = summary.fold_runs
    failed = runs[runs["status"] == RunStatus.FAILED].sort_values(["variant", "seed", "fold"])
    rows = tuple(
        _texts(
            row["variant"],
            _whole(row["seed"]),
            *([_whole(row["fold"])] if summary.folds > 1 else []),
            row["failure"],
            fmt.short(_last_line(_say(row["error"])), MAX_ERROR),
        )
        for row in failed.to_dict("records")
    )
    columns = (
        Column(_("Variant"), numeric=False),
        Column(_("Seed")),
        *([Column(_("Fold"))] if summary.folds > 1 else []),
        Column(_("Kind"), numeric=False),
        Column(_("Error"), numeric=False),
    )
    return (
        Table(_("Failed runs. They are counted in every table."), columns, rows) if rows else None
    )


def _last_line(error: str) -> str:
    """The line of a traceback that says what happened; the database has the whole of it."""
    return next((line for line in reversed(error.splitlines()) if line.strip()), error)


def aliases_table(summary: Summary) -> Table | None:
    """Variants that build the same network as another; they share its runs."""
    rows = tuple(_texts(v.name, v.same_as) for v in summary.variants if v.same_as)
    columns = (Column(_("Variant"), numeric=False), Column(_("Same network as"), numeric=False))
    return Table(_("They are trained once and tested once."), columns, rows) if rows else None


def layers_table(summary: Summary) -> Table | None:
    """Parameters by layer of the variant with the most attention parameters."""
    layers = summary.layers[summary.layers["count"].notna()]
    if layers.empty:
        return None
    attention = layers["attention"].fillna(False).astype(bool)
    most = layers["count"].astype(float).where(attention, 0.0).groupby(layers["variant"]).sum()
    name = str(most.idxmax())
    chosen = layers[layers["variant"] == name]
    rows = tuple(
        Row(
            tuple(
                map(
                    TableCell,
                    (_say(r["path"]), _say(r["kind"]), _say(r["parameter"]), fmt.count(r["count"])),
                )
            ),
            marked=r["attention"] is True or r["attention"] == 1,
        )
        for r in chosen.head(MAX_LAYERS).to_dict("records")
    )
    columns = (
        Column(_("Layer"), numeric=False),
        Column(_("Kind"), numeric=False),
        Column(_("Parameter"), numeric=False),
        Column(_("Count")),
    )
    total = fmt.count(float(chosen["count"].sum()))
    left = len(chosen) - len(rows)
    caption = _("{name}: {total} parameters; attention is marked.", name=name, total=total) + (
        _(" {left:,} more rows are left out.", left=left) if left else ""
    )
    return Table(caption, columns, rows, folded=_("Parameters by layer of {name}", name=name))


def operations_table(summary: Summary) -> Table | None:
    """What one image costs each variant on paper; none where only MACs were stored."""
    known = [v for v in summary.variants if v.elementwise is not None and not v.same_as]
    if not known:
        return None
    rows = tuple(
        Row(
            (
                TableCell(v.name),
                *(TableCell(fmt.macs(n)) for n in (v.macs, v.elementwise, v.activations)),
            ),
            marked=v.is_baseline,
        )
        for v in known
    )
    columns = (
        Column(_("Variant"), numeric=False),
        Column(_("MACs"), _("convolutions, matrix products")),
        Column(_("Elementwise"), _("all other arithmetic")),
        Column(_("Activations"), _("values that MACs give")),
    )
    caption = _("Operations of one image, counted on paper. An elementwise one handles one value.")
    return Table(caption, columns, rows, folded=_("Operations by variant"))


def profile_tables(bars: pd.DataFrame, top: int = 8) -> list[Table]:
    """The `top` operators of the baseline and of the most expensive other variant.

    `bars` is what `profiles.operator_times` gives.
    """
    tables = []
    for (name, device), rows in bars.groupby(["variant", "device"], sort=False):
        head = rows.nlargest(top, "us")
        body = tuple(
            _texts(
                fmt.short(_say(r["operator"]), 90),
                fmt.milliseconds(r["us"]),
                fmt.percent(r["share"], 1),
                _whole(r["calls"]),
            )
            for r in head.to_dict("records")
        )
        columns = (
            Column(_("Operator"), numeric=False),
            Column(_("Self time"), _("ms per step")),
            Column(_("Share"), _("of the step")),
            Column(_("Calls"), _("per step")),
        )
        total = fmt.milliseconds(float(rows["us"].sum()))
        tables.append(
            Table(
                _(
                    "{name} on {device}: {total} ms per step.",
                    name=name,
                    device=device,
                    total=total,
                ),
                columns,
                body,
            )
        )
    return tables


def recipe_table(summary: Summary) -> Table:
    """Everything about the study that can change the number."""
    study = summary.study
    shown = {
        key: study.get(key)
        for key in ("dataset", "image_size", "backbone", "baseline", "seeds", "baseline_seeds")
    } | {"equivalence_margin": summary.margin, **(study.get("recipe") or {})}
    given = {
        "controls": study.get("controls"),
        "weights": study.get("weights"),
        "weights_sha256": study.get("weights_sha256"),
        **_own_metric(summary),
        **by_difference(study.get("data") or {}, DATA_PROTOCOL),
    }
    shown |= {key: value for key, value in given.items() if value}
    rows = tuple(_texts(_words(key), fmt.value(value)) for key, value in shown.items())
    columns = (Column(_("Setting"), numeric=False), Column(_("Value"), numeric=False))
    return Table(_("What every run of this study has in common."), columns, rows)


def _own_metric(summary: Summary) -> dict[str, str | None]:
    """The user's metric that measured these runs, and the hash of its source."""
    if not summary.judged_by.is_own or summary.lacking:
        return {}
    return {"metric": summary.metric, METRIC_SOURCE: summary.study.get(METRIC_SOURCE)}


def environment_table(summary: Summary) -> Table | None:
    """What the accepted results were computed with: one column for each environment."""
    environments = summary.environments[:MAX_ENVIRONMENTS]
    keys = list(dict.fromkeys(key for environment in environments for key in environment))
    if not keys:
        return None
    names = [_("Environment {i}", i=i) for i in range(1, len(environments) + 1)]
    if len(names) == 1:
        names = [_("Value")]
    rows = tuple(
        _texts(_words(key), *(fmt.value(e.get(key)) for e in environments)) for key in keys
    )
    left = len(summary.environments) - len(environments)
    caption = _("What the accepted results were computed with.") + (
        _(" {left} more are in the database.", left=left) if left > 0 else ""
    )
    columns = (Column(_("Key"), numeric=False), *(Column(n, numeric=False) for n in names))
    return Table(caption, columns, rows)


def _texts(*values: object) -> Row:
    return Row(tuple(TableCell(_say(value)) for value in values))


def _say(value: object) -> str:
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return fmt.MISSING if missing else str(value)


def _whole(value: object) -> str:
    if not isinstance(value, (int, float)) or math.isnan(value):
        return fmt.MISSING
    return fmt.count(value)


def _words(key: object) -> str:
    """A key in words; to whoever reads another language it is a name, as the study file has it."""
    return str(key).replace("_", " ") if language() == ENGLISH else str(key)
