"""What networks that begin with trained weights are worth before any training."""

from __future__ import annotations

import statistics

from ablate.page import format as fmt
from ablate.page.document import Block, Column, Note, Row, Table, TableCell
from ablate.report.summary import Summary
from ablate.stats.words import points, size
from ablate.study.metrics import BEGAN_ACCURACY
from ablate.system.messages.language import N_, _


def began_blocks(summary: Summary) -> tuple[Block, ...]:
    """A sentence and a table; nothing of a study whose weights are drawn."""
    table = summary.metrics
    began = table[table["metric"] == BEGAN_ACCURACY] if not table.empty else table
    if began.empty:
        return ()
    runs = began.merge(summary.runs[["run_key", "variant", "seed"]], on="run_key")
    values: dict[str, dict[int, float]] = {}
    for variant, seed, value in zip(runs["variant"], runs["seed"], runs["value"], strict=True):
        values.setdefault(str(variant), {})[int(seed)] = float(value)
    split = N_("test") if summary.leaked else N_("validation")
    return Note(_said(summary, values, _(split))), _table(summary, values, split)


def _said(summary: Summary, values: dict[str, dict[int, float]], split: str) -> str:
    base = values.get(summary.baseline, {})
    text = _(
        "These networks began with trained weights, and were looked at before the "
        "first step (epoch 0)."
    )
    costs = {name: cost for name in values if (cost := _cost(values[name], base)) is not None}
    worst = min(costs, key=lambda name: costs[name], default=None)
    if worst is None or costs[worst] >= 0:
        return _(
            "{text} None of them began with a lower accuracy of the {split} images than "
            "the baseline.",
            text=text,
            split=split,
        )
    began, without = (statistics.fmean(each.values()) for each in (values[worst], base))
    return _(
        "{text} With {worst} the accuracy of the {split} images began at {began}, "
        "where the baseline began at {without}: that start costs {costs} points at "
        'step 0, which training has to win back first. With start = "identity" '
        "attention begins as the network was.",
        text=text,
        worst=worst,
        split=split,
        began=fmt.percent(began),
        without=fmt.percent(without),
        costs=size(costs[worst]),
    )


def _cost(own: dict[int, float], base: dict[int, float]) -> float | None:
    """The mean difference to the baseline over the seeds of both."""
    both = own.keys() & base.keys()
    return statistics.fmean(own[seed] - base[seed] for seed in both) if both else None


def _table(summary: Summary, values: dict[str, dict[int, float]], split: str) -> Table:
    base = values.get(summary.baseline, {})
    rows = tuple(
        Row(
            (
                TableCell(each.name),
                TableCell(f"{100 * statistics.fmean(values[each.name].values()):.2f}"),
                TableCell(_difference(_cost(values[each.name], base), each.is_baseline)),
                TableCell(str(len(values[each.name]))),
            ),
            marked=each.is_baseline,
        )
        for each in summary.finished
        if each.name in values
    )
    columns = (
        Column(_("Variant"), numeric=False),
        Column(_("{split} accuracy at epoch 0", split=_(split).capitalize()), "%"),
        Column(_("Against the baseline"), _("points")),
        Column(_("Runs")),
    )
    caption = _("Accuracy before any training, mean over seeds; differences seed by seed.")
    return Table(caption, columns, rows)


def _difference(cost: float | None, is_baseline: bool) -> str:
    if cost is None or is_baseline:
        return fmt.MISSING
    return points(cost)
