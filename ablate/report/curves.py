"""The figures of training: loss by step, and accuracy by epoch."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from scipy import special

from ablate.page import canvas
from ablate.page.document import Figure
from ablate.report.summary import Summary
from ablate.system.text import plural

MAX_SMOOTHING = 15


def loss_figure(summary: Summary) -> Figure | None:
    """Training loss by step, the mean over seeds; the faint lines are the other variants."""
    steps = summary.steps.dropna(subset=["step", "batch_loss"])
    if steps.empty:
        return None
    window = max(1, min(MAX_SMOOTHING, steps["step"].nunique() // 20))
    figure, (ax,) = canvas.axes(3.6)
    _lines(ax, steps, "step", "batch_loss", summary, window=window)
    ax.set(xlabel="Step", ylabel="Batch loss")
    _legend(ax)
    smooth = f", smoothed over {window} logged steps" if window > 1 else ""
    return Figure(
        "loss",
        f"Training loss by step for {plural(steps['variant'].nunique(), 'variant')}.",
        f"Loss of the training batches, mean over seeds{smooth}. {_who(summary)}",
        canvas.png(figure),
    )


def learning_figure(summary: Summary) -> Figure | None:
    """Training accuracy, and validation accuracy (or test, in the tutorial's split), by epoch."""
    held_out = "test_accuracy" if summary.leaked else "val_accuracy"
    titles = {
        "train_accuracy": "Training",
        held_out: "Test (seen by the schedule)" if summary.leaked else "Validation",
    }
    panels = [c for c in titles if summary.epochs[c].notna().any()]
    if not panels:
        return None
    figure, boxes = canvas.axes(3.6, len(panels))
    for ax, column in zip(boxes, panels, strict=True):
        epochs = summary.epochs.dropna(subset=["epoch", column])
        epochs = epochs.assign(**{column: 100 * epochs[column].astype(float)})
        _lines(ax, epochs, "epoch", column, summary, band=True)
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        ax.set(title=titles[column], xlabel="Epoch", ylabel="")
    boxes[0].set_ylabel("Accuracy (%)")
    _legend(boxes[-1], loc="lower right")
    return Figure(
        "learning",
        f"Accuracy by epoch for {plural(summary.epochs['variant'].nunique(), 'variant')}: "
        + " and ".join(titles[c].lower() for c in panels)
        + ".",
        f"Mean over seeds; the bands are 95 % t-intervals. {_who(summary)}",
        canvas.png(figure),
    )


def _lines(
    ax: Axes,
    frame: pd.DataFrame,
    x: str,
    y: str,
    summary: Summary,
    *,
    window: int = 1,
    band: bool = False,
) -> None:
    """One line per variant: the mean over seeds, faint except for the highlights."""
    moments = frame.groupby(["variant", x])[y].agg(["mean", "std", "count"]).reset_index(x)
    names = [v.name for v in summary.finished if v.name in moments.index]
    highlights = [name for name in summary.highlights if name in names]
    for name in names:
        if name not in highlights:
            rows = moments.loc[[name]]
            mean = rows["mean"].rolling(window, min_periods=1, center=True).mean()
            ax.plot(rows[x], mean, color=canvas.FAINT, linewidth=0.7, alpha=0.7)
    colors = dict(zip(summary.highlights, canvas.HIGHLIGHTS, strict=False))
    for name in highlights:
        rows = moments.loc[[name]]
        mean = rows["mean"].rolling(window, min_periods=1, center=True).mean()
        text = canvas.label(name) + (" (baseline)" if name == summary.baseline else "")
        marker = "o" if len(rows) == 1 else None
        ax.plot(rows[x], mean, color=colors[name], linewidth=1.6, label=text, marker=marker)
        if band:
            half = _half_width(rows)
            ax.fill_between(rows[x], rows["mean"] - half, rows["mean"] + half,
                            color=colors[name], alpha=0.15, linewidth=0)  # fmt: skip


def _half_width(rows: pd.DataFrame) -> pd.Series:
    """Half the 95 % t-interval of each mean; none where there is one seed."""
    n = rows["count"].where(rows["count"] > 1)
    quantile = special.stdtrit(n - 1, 0.975)
    return pd.Series(quantile * rows["std"] / np.sqrt(n), index=rows.index)


def _who(summary: Summary) -> str:
    if len(summary.highlights) == 1:
        return "One variant has finished."
    return (
        "In colour: the variants with the highest (blue) and lowest (orange) test accuracy; "
        "black: the baseline; the others are faint."
    )


def _legend(ax: Axes, loc: Literal["best", "lower right"] = "best") -> None:
    """Of the lines that have a name, if there are some."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc=loc)
