"""The figures of accuracy: by variant, against cost, and over reduction × kernel size."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ablate.page import canvas
from ablate.page.document import Figure
from ablate.page.format import speed
from ablate.report.speeds import SpeedColumn, ratio_to
from ablate.report.summary import Summary, VariantSummary
from ablate.system.text import plural


def accuracy_figure(summary: Summary) -> Figure | None:
    """Every seed as a point, the mean with its interval, the baseline's interval as a band."""
    shown = [v for v in summary.variants if v.n]
    if not shown:
        return None
    points = pd.DataFrame(
        [(row, 100 * a) for row, v in enumerate(shown) for a in v.accuracies.values()],
        columns=["row", "accuracy"],
    )
    figure, (ax,) = canvas.axes(1.0 + 0.27 * len(shown))
    _baseline_band(ax, summary.reference)
    sns.stripplot(
        points, x="accuracy", y="row", orient="h", jitter=False,
        color=canvas.FAINT, size=4, alpha=0.8, ax=ax,
    )  # fmt: skip
    ax.set_yticks(range(len(shown)), [canvas.label(v.name) for v in shown])
    for row, variant in enumerate(shown):
        _mean_with_interval(ax, row + 0.22, variant, summary)
    ax.set(xlabel=f"Test {summary.judged_by.title} (%)", ylabel="", ylim=(len(shown) - 0.4, -0.6))
    ax.grid(axis="y", visible=False)
    runs = plural(sum(v.n for v in shown), "run")
    return Figure(
        "accuracy",
        f"Test {summary.judged_by.title} of {plural(len(shown), 'variant')} over {runs}; "
        "the same numbers are in the table of results.",
        "Each pale point is one seed; the large point is the mean with its 95 % t-interval. "
        f"The band is the baseline's interval. {color_words(summary)}",
        canvas.png(figure),
    )


def cost_figure(summary: Summary) -> Figure | None:
    """Mean score against throughput, where it was measured, and against parameters."""
    column = _fullest(summary)
    panels: list[SpeedColumn | None] = [column] if column else []
    sized = [v for v in summary.finished if v.parameters is not None]
    panels += [None] if sized else []
    if not panels or not summary.finished:
        return None
    figure, boxes = canvas.axes(4.0, len(panels))
    for ax, panel in zip(boxes, panels, strict=True):
        _cost_panel(ax, panel, summary)
    boxes[0].set_ylabel(f"Mean test {summary.judged_by.title} (%)")
    speeds = (
        f" Speed: {column.conditions}; the baseline's times the ratio to it, with the interval of the table."
        if column
        else ""
    )
    return Figure(
        "cost",
        f"Mean test {summary.judged_by.title} of every variant against "
        + ("throughput and parameters" if column else "parameters")
        + "; the same numbers are in the table of results.",
        f"Up is better; faster is right, smaller is left.{speeds} {color_words(summary)}",
        canvas.png(figure),
    )


def heat_map(summary: Summary) -> Figure | None:
    """Mean accuracy over reduction × kernel size at one position, from a grid of 2 × 2 on."""
    means = {v.name: 100 * v.accuracy.mean for v in summary.finished if v.accuracy}
    cells = summary.runs.drop_duplicates("variant")
    cells = cells[cells["variant"].isin(list(means))].dropna(
        subset=["attention", "position", "reduction", "kernel_size"]
    )
    grids = [
        (group.assign(mean=group["variant"].map(means)), str(attention), str(position))
        for (attention, position), group in cells.groupby(["attention", "position"])
        if group["reduction"].nunique() >= 2 and group["kernel_size"].nunique() >= 2
    ]
    if not grids:
        return None
    group, attention, position = max(grids, key=lambda grid: len(grid[0]))
    table = group.pivot_table(index="reduction", columns="kernel_size", values="mean")
    table.index, table.columns = table.index.astype(int), table.columns.astype(int)
    figure, (ax,) = canvas.axes(1.1 + 0.5 * len(table))
    sns.heatmap(table, annot=True, fmt=".2f", cmap="viridis", linewidths=2, linecolor="white",
                cbar_kws={"label": f"Mean test {summary.judged_by.title} (%)"}, ax=ax)  # fmt: skip
    ax.set(xlabel="Kernel size k", ylabel="Reduction r")
    ax.tick_params(length=0, labelrotation=0)
    ax.grid(visible=False)
    return Figure(
        "heat-map",
        f"Mean test {summary.judged_by.title} of {attention} at {position} for {len(table)} reductions and "
        f"{len(table.columns)} kernel sizes; the same numbers are in the table of results.",
        f"{attention} at {position}: mean test {summary.judged_by.title} in percent. "
        "Differences between cells are subject to the intervals in the table.",
        canvas.png(figure),
    )


def _baseline_band(ax: Axes, base: VariantSummary) -> None:
    if base.accuracy is None:
        return
    ax.axvline(100 * base.accuracy.mean, color=canvas.BASELINE, linewidth=0.8, alpha=0.5, zorder=0)
    if base.accuracy.low is not None and base.accuracy.high is not None:
        low, high = 100 * base.accuracy.low, 100 * base.accuracy.high
        ax.axvspan(low, high, color=canvas.BASELINE, alpha=0.08, linewidth=0, zorder=0)


def _mean_with_interval(ax: Axes, row: float, variant: VariantSummary, summary: Summary) -> None:
    if variant.accuracy is None:
        return
    color = variant_color(variant, summary)
    mean, half = 100 * variant.accuracy.mean, variant.accuracy.half_width
    error = None if half is None else 100 * half
    ax.errorbar(mean, row, xerr=error, fmt="o", color=color, markersize=6, linewidth=1.8, zorder=3)


def _cost_panel(ax: Axes, column: SpeedColumn | None, summary: Summary) -> None:
    """One panel: throughput under the conditions of `column`, or parameters without one."""
    placed: list[tuple[float, float, VariantSummary]] = []
    for variant in summary.finished:
        x, spread = _position(variant, summary.reference, column)
        if x is None or variant.accuracy is None:
            continue
        y, half = 100 * variant.accuracy.mean, variant.accuracy.half_width
        color = variant_color(variant, summary)
        ax.errorbar(x, y, xerr=spread, yerr=100 * half if half is not None else None, fmt="o",
                    color=color, markersize=6, linewidth=0.8, alpha=0.9)  # fmt: skip
        placed.append((x, y, variant))
    middle = np.mean(ax.get_xlim())
    for x, y, variant in placed:
        if variant.name in summary.highlights:
            _name_point(ax, (x, y), variant, summary, left=bool(x > middle))
    ax.margins(x=0.15, y=0.12)
    ax.set_xlabel(column.title if column else "Parameters")
    ax.xaxis.set_major_formatter(FuncFormatter(_tick))
    ax.xaxis.set_major_locator(MaxNLocator(4))


def _name_point(
    ax: Axes, at: tuple[float, float], variant: VariantSummary, summary: Summary, *, left: bool
) -> None:
    """Write a variant's name beside its point, on the side where there is room."""
    text = ax.annotate(
        canvas.label(variant.name, 28),
        at,
        xytext=(-7 if left else 7, 6),
        textcoords="offset points",
        ha="right" if left else "left",
        color=variant_color(variant, summary),
        fontsize=8,
    )
    text.set_in_layout(False)


def _position(
    variant: VariantSummary, base: VariantSummary, column: SpeedColumn | None
) -> tuple[float | None, np.ndarray | None]:
    """A variant's place on the x axis, with the distances to the ends of its interval."""
    if column is None:
        return variant.parameters, None
    found, reference = variant.speeds.get(column), base.speeds.get(column)
    if found is None:
        return None, None
    ratio = None if variant.is_baseline else ratio_to(found, reference)
    if ratio is None or reference is None:
        return found.images_per_second, None
    # Beside the baseline as in the table: medians of a machine that drifts may be in another order.
    middle = ratio.ratio * reference.images_per_second
    if ratio.low is None or ratio.high is None:
        return middle, None
    spread = [[ratio.ratio - ratio.low], [ratio.high - ratio.ratio]]
    return middle, np.array(spread) * reference.images_per_second


def _fullest(summary: Summary) -> SpeedColumn | None:
    """The mode in which most variants were measured; inference before training."""
    number = {c: sum(c in v.speeds for v in summary.finished) for c in summary.main_columns}
    measured = [column for column in summary.main_columns if number[column]]
    return max(measured, key=lambda c: (number[c], c.mode == "infer"), default=None)


def variant_color(variant: VariantSummary, summary: Summary) -> str:
    if variant.is_baseline:
        return canvas.TONE_COLORS["baseline"]
    verdict = variant.effect.verdict if variant.effect and not summary.leaked else "undecided"
    return canvas.TONE_COLORS[verdict]


def color_words(summary: Summary) -> str:
    if summary.leaked:
        return "Black is the baseline; no verdict is claimed."
    return "Black: baseline; blue: better; orange: worse; green: equivalent or identical; grey: undecided."


def _tick(value: float, _: int | None = None) -> str:
    return speed(value)
