"""What the profile by module says: bars by family, attention's share, MACs beside measured time."""

from __future__ import annotations

import pandas as pd

from ablate.page import canvas
from ablate.page import format as fmt
from ablate.page.document import Column, Figure, Note, Row, Table, TableCell
from ablate.report.cost.families import (
    ATTENTION,
    FAMILIES,
    OTHER,
    attended_module,
    module_times,
    step_only,
)
from ablate.report.cost.profiles import bar_order, left_out, pairs_of
from ablate.report.cost.speeds import ratio_to
from ablate.report.summary import Summary, VariantSummary
from ablate.system.messages.language import _, amount

MAX_BARS = 12
MAX_PLACES = 3
MAX_REASONS = 5


def family_figure(summary: Summary) -> Figure | None:
    """Horizontal bars, one for each variant, stacked by family."""
    times = module_times(summary)
    if times.empty:
        return None
    every = bar_order(times, summary.baseline)
    order = every[:MAX_BARS]
    times = times[pairs_of(times).isin(order)]
    several = times["device"].nunique() > 1
    called = times["variant"] + (" · " + times["device"] if several else "")
    table = times.assign(bar=called).pivot_table(
        index="bar", columns="family", values="us", aggfunc="sum", fill_value=0.0
    )
    names = [f"{variant} · {device}" if several else variant for variant, device in order]
    table = table.loc[names]
    shown = [family for family in FAMILIES if family in table]
    palette = dict(zip(FAMILIES, canvas.kinds(len(FAMILIES)), strict=True))
    # The palette's own colour of pooling is too near to the one of attention.
    marked = {ATTENTION: canvas.PURPLE, OTHER: canvas.FAINT, "pool": canvas.SKY}
    colors = palette | marked
    figure, (ax,) = canvas.axes(1.7 + 0.36 * len(table))
    left = pd.Series(0.0, index=table.index)
    for family in shown:
        width = table[family] / 1000
        bars = ax.barh(
            range(len(table)), width, left=left, color=colors[family], height=0.68, label=_(family)
        )
        for bar, name, us in zip(bars, table.index, table[family], strict=True):
            canvas.tip(
                bar,
                _(
                    "{name}, {family}: {us} ms",
                    name=name,
                    family=_(family),
                    us=fmt.milliseconds(us),
                ),
            )
        left = left + width
    ax.set_yticks(
        range(len(table)), [canvas.two_lines(str(bar)) for bar in table.index], fontsize=8
    )
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set(xlabel=_("Self time of a step and its batch (ms)"), ylabel="")
    figure.legend(loc="outside lower left", ncols=2 if canvas.is_narrow() else 5, fontsize=8)
    return Figure(
        "families",
        _(
            "Self time of one training step by kind of work, one bar for each profiled "
            "variant; attention's shares are in the table below."
        ),
        _(
            "Profiled with plain attention modules (path eager) on {devices}, forward and "
            "backward, each operator under the module that caused it. Augmentation is "
            "that of one batch, which the runs of a cohort share. The profiler slows a "
            "step: compare shares.",
            devices=", ".join(map(str, times["device"].unique())),
        )
        + left_out(len(order), len(every)),
        canvas.saved(figure),
        [
            {
                "bar": str(bar),
                "family": family,
                "self_time_ms": float(table.loc[bar, family]) / 1000,
            }
            for bar in table.index
            for family in shown
        ],
    )


def attention_table(times: pd.DataFrame, summary: Summary) -> Table | None:
    """For each variant with attention: its MACs, its measured step and attention's share of it."""
    rows, several = [], times["device"].nunique() > 1
    for variant in summary.variants:
        mine = step_only(times[times["variant"] == variant.name])
        for device, group in mine.groupby("device", sort=False):
            note = str(device) if several else ""
            rows.append(_row(variant, str(device), note, group, summary))
    columns = (
        Column(_("Variant"), numeric=False),
        Column(_("MACs"), _("per image")),
        Column(_("Training step"), _("measured apart, ms")),
        Column(_("Attention"), _("of the profiled step")),
        Column(_("Where"), numeric=False),
    )
    caption = _(
        "Multiply-adds against time. The step is the batch divided by the measured "
        "throughput, with attention as it is trained; attention's share is from the "
        "profile of path eager, with plain modules. × is to the baseline."
    )
    return Table(caption, columns, tuple(rows)) if rows else None


def reasons(summary: Summary) -> list[Note]:
    """Why profiles or traces are missing, each reason once."""
    missing = summary.traces[summary.traces["reason"].notna()]
    grouped = missing.groupby("reason", sort=False)
    return [
        Note(
            _(
                "{profiles} without a trace: {reason}",
                profiles=amount(len(group), "profile"),
                reason=reason,
            ),
            "warning",
        )
        for reason, group in list(grouped)[:MAX_REASONS]
    ]


def _row(
    variant: VariantSummary, device: str, note: str, times: pd.DataFrame, summary: Summary
) -> Row:
    base = summary.reference
    mac_note = fmt.ratio(_ratio(variant.macs, base.macs)) if not variant.is_baseline else ""
    attention = times[times["family"] == ATTENTION]
    share = attention["us"].sum() / times["us"].sum()
    cells = (
        TableCell(variant.name, note),
        TableCell(fmt.macs(variant.macs), mac_note),
        _step_cell(variant, base, device),
        TableCell(fmt.percent(share, 1) if len(attention) else fmt.MISSING),
        TableCell(_places(attention, float(times["us"].sum()))),
    )
    return Row(cells, marked=variant.is_baseline)


def _step_cell(variant: VariantSummary, base: VariantSummary, device: str) -> TableCell:
    """Milliseconds for one step, from throughput; × how long as the baseline's."""
    # The full protocol before the quick one.
    for column, speed in sorted(variant.speeds.items(), key=lambda item: item[0].protocol):
        size = column.batch_size.replace(",", "")
        if column.device != device or column.mode != "train" or not size.isdigit():
            continue
        times = ratio_to(speed, base.speeds.get(column))
        note = "" if variant.is_baseline or times is None else fmt.ratio(1 / times.ratio)
        return TableCell(fmt.milliseconds(1e6 * int(size) / speed.images_per_second), note)
    return TableCell(fmt.MISSING)


def _places(attention: pd.DataFrame, total_us: float) -> str:
    by_place = (
        attention.groupby(attention["module"].map(attended_module))["us"].sum().nlargest(MAX_PLACES)
    )
    told = [f"{name} {fmt.percent(us / total_us, 1)}" for name, us in by_place.items()]
    return ", ".join(told) or fmt.MISSING


def _ratio(own: float | None, base: float | None) -> float | None:
    return own / base if own is not None and base else None
