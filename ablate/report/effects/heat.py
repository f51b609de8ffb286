"""Reduction × kernel size at one place: the means of a grid, in colours that show no more than there is."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ablate.page import canvas
from ablate.page.document import Figure, Value
from ablate.report.summary import Summary
from ablate.system.messages.language import _

LEAST_RANGE = 2.0
"""Points that the scale of colours spans at least: a few tenths must not look like all there is."""
NEAR_WHITE = "#fdfdfd"
"""The colour of what stands between cells and on dark ones; a dark page leaves it as it is."""


def heat_map(summary: Summary) -> Figure | None:
    """Mean accuracy over reduction × kernel size at one position, from a grid of 2 × 2 on."""
    found = _largest_grid(summary)
    if found is None:
        return None
    group, attention, position = found
    table = group.pivot_table(index="reduction", columns="kernel_size", values="mean")
    table.index, table.columns = table.index.astype(int), table.columns.astype(int)
    half = group.pivot_table(index="reduction", columns="kernel_size", values="half", dropna=False)
    spread = half.reindex(index=table.index, columns=table.columns)
    figure, (ax,) = canvas.axes(1.3 + 0.55 * len(table))
    low, high = _scale(table.to_numpy(), summary.judged_by.bounds_percent)
    canvas.seaborn().heatmap(
        table, annot=_texts(table, spread), fmt="", cmap="viridis", vmin=low, vmax=high, linewidths=2,
        linecolor=NEAR_WHITE, annot_kws={"fontsize": 8},
        cbar_kws={"label": _("Mean test {title} (%)", title=summary.judged_by.title)}, ax=ax,
    )  # fmt: skip
    for text in ax.texts:
        text.set_color(NEAR_WHITE if text.get_color() in ("w", "white") else "#262626")
    ax.set(xlabel=_("Kernel size k"), ylabel=_("Reduction r"))
    ax.tick_params(length=0, labelrotation=0)
    ax.grid(visible=False)
    return Figure(
        "heat-map",
        _(
            "Mean test {title} of {attention} at {position} for {reductions} reductions and {sizes} "
            "kernel sizes; the same numbers are in the table of results.",
            title=summary.judged_by.title,
            attention=attention,
            position=position,
            reductions=len(table),
            sizes=len(table.columns),
        ),
        _(
            "{attention} at {position}: mean test {title} in percent ± its 95 % "
            "t-interval. The colours span {range:.1f} points. Differences between cells "
            "are subject to the intervals in the table.",
            attention=attention,
            position=position,
            title=summary.judged_by.title,
            range=high - low,
        ),
        canvas.saved(figure),
        _records(table, spread),
    )


def _records(table: pd.DataFrame, spread: pd.DataFrame) -> list[dict[str, Value]]:
    pairs = zip(table.to_numpy().tolist(), spread.to_numpy(dtype=float).tolist(), strict=True)
    return [
        {
            "reduction": int(r),
            "kernel_size": int(k),
            "mean": mean / 100,
            "half_width": None if np.isnan(half) else half / 100,
        }
        for r, (means, halves) in zip(table.index, pairs, strict=True)
        for k, mean, half in zip(table.columns, means, halves, strict=True)
        if not np.isnan(mean)
    ]


def _largest_grid(summary: Summary) -> tuple[pd.DataFrame, str, str] | None:
    means = {v.name: 100 * v.accuracy.mean for v in summary.finished if v.accuracy}
    halves = {v.name: v.accuracy.half_width for v in summary.finished if v.accuracy}
    cells = summary.runs.drop_duplicates("variant")
    cells = cells[cells["variant"].isin(list(means))].dropna(
        subset=["attention", "position", "reduction", "kernel_size"]
    )
    half = pd.to_numeric(cells["variant"].map(halves))
    cells = cells.assign(mean=cells["variant"].map(means), half=100 * half)
    grids = [
        (group, str(attention), str(position))
        for (attention, position), group in cells.groupby(["attention", "position"])
        if group["reduction"].nunique() >= 2 and group["kernel_size"].nunique() >= 2
    ]
    return max(grids, key=lambda grid: len(grid[0])) if grids else None


def _scale(means: np.ndarray, bounds: tuple[float, float]) -> tuple[float, float]:
    """From the lowest to the highest, widened about their middle to the least range, within the bounds."""
    low, high = float(np.nanmin(means)), float(np.nanmax(means))
    more = max(0.0, LEAST_RANGE - (high - low)) / 2
    return max(bounds[0], low - more), min(bounds[1], high + more)


def _texts(table: pd.DataFrame, spread: pd.DataFrame) -> np.ndarray:
    pairs = zip(table.to_numpy().flat, spread.to_numpy().flat, strict=True)
    texts = [
        "" if np.isnan(mean) else f"{mean:.2f}" + ("" if pd.isna(half) else f"\n± {half:.2f}")
        for mean, half in pairs
    ]
    return np.array(texts, dtype=object).reshape(table.shape)
