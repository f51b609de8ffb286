"""The figures of training: loss by step, and loss and accuracy by epoch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator
from scipy import special

from ablate.page import canvas
from ablate.page.document import Figure, Value
from ablate.report.readable import MOST_DRAWN, ends, mean_of, of_variants
from ablate.report.summary import Summary
from ablate.system.messages.language import N_, _, amount

MAX_SMOOTHING = 15
SEEN = N_("Test (seen by the schedule)")


def loss_figure(summary: Summary) -> Figure | None:
    """Training loss by step, the mean over seeds; the faint lines are the other variants."""
    steps = summary.steps.dropna(subset=["step", "batch_loss"])
    if steps.empty:
        return None
    window = max(1, min(MAX_SMOOTHING, steps["step"].nunique() // 20))
    figure, (ax,) = canvas.axes(3.8)
    _lines(ax, steps, "step", "batch_loss", summary, window=window)
    ax.set(xlabel=_("Step"), ylabel=_("Batch loss"))
    _legend(figure, ax)
    smooth = _(", smoothed over {window} logged steps", window=window) if window > 1 else ""
    return Figure(
        "loss",
        _(
            "Training loss by step for {variants}.",
            variants=amount(steps["variant"].nunique(), "variant"),
        ),
        _(
            "Loss of the training batches, mean over seeds{smooth}. {who}",
            smooth=smooth,
            who=_who(summary, "loss"),
        ),
        canvas.saved(figure),
        _records(steps, "step", {"batch_loss": "batch_loss"}),
    )


def epoch_loss_figure(summary: Summary) -> Figure | None:
    """Loss by epoch on training and on held-out images, side by side on one scale."""
    titles = {
        "train_loss": _("Training"),
        "val_loss": _("Validation"),
        "test_loss": _(SEEN) if summary.leaked else _("Test"),
    }
    return _by_epoch(summary, "loss-by-epoch", _("Loss"), titles, 1.0)


def learning_figure(summary: Summary) -> Figure | None:
    """Training accuracy, and validation accuracy (or test, in the tutorial's split), by epoch."""
    held_out = {"test_accuracy": _(SEEN)} if summary.leaked else {"val_accuracy": _("Validation")}
    titles = {"train_accuracy": _("Training"), **held_out}
    return _by_epoch(summary, "learning", _("Accuracy"), titles, 100.0)


def _by_epoch(
    summary: Summary, name: str, what: str, titles: Mapping[str, str], times: float
) -> Figure | None:
    panels = [c for c in titles if summary.epochs[c].notna().any()]
    if not panels:
        return None
    figure, boxes = canvas.axes(3.8, len(panels))
    for ax, column in zip(boxes, panels, strict=True):
        epochs = summary.epochs.dropna(subset=["epoch", column])
        epochs = epochs.assign(**{column: times * epochs[column].astype(float)})
        _lines(ax, epochs, "epoch", column, summary, band=True)
        _whole_epochs(ax, epochs["epoch"])
        ax.set(title=titles[column], xlabel=_("Epoch"), ylabel="")
        if times > 1:
            low, high = ax.get_ylim()
            ax.set_ylim(max(low, 0.0), min(high, 100.0))
    boxes[0].set_ylabel(f"{what} (%)" if times > 1 else what)
    if times == 1:  # losses are compared with each other
        top = max(ax.get_ylim()[1] for ax in boxes)
        for ax in boxes:
            ax.set_ylim(0, top)
    _legend(figure, boxes[-1])
    said = _(" and ").join(titles[c].lower() for c in panels)
    return Figure(
        name,
        _(
            "{what} by epoch for {variants}: {said}.",
            what=what,
            variants=amount(summary.epochs["variant"].nunique(), "variant"),
            said=said,
        ),
        _(
            "{what} by epoch, mean over seeds; the bands are 95 % t-intervals. {who}",
            what=what,
            who=_who(summary, name),
        ),
        canvas.saved(figure),
        _records(summary.epochs, "epoch", {column: column for column in panels}),
    )


def _whole_epochs(ax: Axes, epochs: pd.Series) -> None:
    """Ticks at epochs alone, also where there is one."""
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    if epochs.nunique() == 1:
        only = float(epochs.iloc[0])
        ax.set_xlim(only - 0.5, only + 0.5)
        ax.set_xticks([only])


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
    names = [name for name in _drawn(summary) if name in moments.index]
    highlights = [name for name in summary.highlights if name in names]
    for name in [n for n in names if n not in highlights] + highlights:
        rows = moments.loc[[name]]
        mean = rows["mean"].rolling(window, min_periods=1, center=True).mean()
        marker = "o" if len(rows) == 1 else None
        if name not in highlights:
            faint, *_more = ax.plot(
                rows[x], mean, color=canvas.FAINT, linewidth=0.7, alpha=0.7, marker=marker
            )
            canvas.tip(faint, name)
            continue
        color = dict(zip(summary.highlights, canvas.HIGHLIGHTS, strict=False))[name]
        text = canvas.two_lines(name) + (_(" (baseline)") if name == summary.baseline else "")
        line, *_more = ax.plot(rows[x], mean, color=color, linewidth=1.6, label=text, marker=marker)
        told = {"name": name, "mean": mean.iloc[-1], "x": _(x), "at": rows[x].iloc[-1]}
        canvas.tip(line, _("{name}: {mean:.3f} at {x} {at:,.0f}", **told))
        if band:
            half = _half_width(rows)
            ax.fill_between(rows[x], rows["mean"] - half, rows["mean"] + half,
                            color=color, alpha=0.15, linewidth=0)  # fmt: skip


def _drawn(summary: Summary) -> list[str]:
    """Of thousands of variants only some lines can be seen."""
    shown = ends(summary.finished, MOST_DRAWN, mean_of, lambda v: v.name in summary.highlights)
    return [variant.name for variant in shown]


def _half_width(rows: pd.DataFrame) -> pd.Series:
    """Half the 95 % t-interval of each mean; none where there is one seed."""
    n = rows["count"].where(rows["count"] > 1)
    quantile = special.stdtrit(n - 1, 0.975)
    return pd.Series(quantile * rows["std"] / np.sqrt(n), index=rows.index)


def _who(summary: Summary, name: str) -> str:
    if len(summary.highlights) == 1:
        return _("One variant has finished.")
    return _(
        "In colour: the variants with the highest (purple) and lowest (ochre) mean "
        "test {title}, which is no verdict; black: the baseline; the others are "
        "faint.",
        title=summary.judged_by.title,
    ) + of_variants(len(_drawn(summary)), len(summary.finished), f"figures/{name}.csv")


def _legend(figure: Drawing, ax: Axes) -> None:
    """Of the lines that have a name, below the figure: it lies over no line."""
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        columns = 1 if canvas.is_narrow() else len(labels)
        figure.legend(handles, labels, loc="outside lower left", ncols=columns, fontsize=8)


def _records(frame: pd.DataFrame, x: str, columns: Mapping[str, str]) -> list[dict[str, Value]]:
    """The mean over seeds at each step or epoch, with its standard deviation and their number."""
    known = [column for column in columns if frame[column].notna().any()]
    values = frame.assign(**{column: frame[column].astype(float) for column in known})
    grouped = values.groupby(["variant", x], sort=False)[known]
    table = grouped.mean().join(grouped.std().add_suffix("_sd"))
    table = table.assign(n=grouped.count()[known[0]]).reset_index()
    table[x] = table[x].astype(int)
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]
