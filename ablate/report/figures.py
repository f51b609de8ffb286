"""The figure of accuracy by variant, and what others share with it: rows, colours, intervals with ends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D

from ablate.page import canvas
from ablate.page import format as fmt
from ablate.page.document import Figure, Value
from ablate.report.readable import MOST_DRAWN, MOST_SEEDS, ends, few_seeds, mean_of, of_variants
from ablate.report.summary import Summary, VariantSummary
from ablate.system.messages.language import _, amount

"""Percent that a share can be."""
MANY_ROWS = 45
LONGEST_STACK = 5


def accuracy_figure(summary: Summary) -> Figure | None:
    """Every seed as a point, the mean with its interval, the baseline's interval as a band."""
    every = [v for v in summary.variants if v.n]
    if not every:
        return None
    shown = ends(every, MOST_DRAWN, mean_of, lambda v: v.is_baseline)
    figure, ax = row_axes([v.name for v in shown])
    bounds = summary.judged_by.bounds_percent
    limits = _limits(shown, bounds)
    ax.set(xlim=limits, xlabel=_("Test {title} (%)", title=summary.judged_by.title))
    _baseline_band(ax, summary.reference, bounds)
    for row, variant in enumerate(shown):
        _seeds(ax, row, variant, limits)
        _mean_with_interval(ax, row + 0.22, variant, summary)
    runs = amount(sum(v.n for v in every), "run")
    return Figure(
        "accuracy",
        _(
            "Test {title} of {variants} over {runs}; the same numbers are in the table of results.",
            title=summary.judged_by.title,
            variants=amount(len(every), "variant"),
            runs=runs,
        ),
        _(
            "Each pale point is one seed, equal ones above each other; the large point "
            "is the mean with its 95 % t-interval, with an arrow where that goes on "
            "beyond the axis. The band is the baseline's interval. {colors}",
            colors=color_words(summary),
        )
        + _few_words(shown)
        + of_variants(len(shown), len(every), "figures/accuracy.csv"),
        canvas.saved(figure),
        [record for variant in every for record in _records(variant)],
    )


def _few_words(shown: Sequence[VariantSummary]) -> str:
    if all(variant.n <= MOST_SEEDS for variant in shown):
        return ""
    return _(
        " Of a variant with more seeds, {most} are drawn, from its lowest to its highest.",
        most=MOST_SEEDS,
    )


def row_axes(names: Sequence[str]) -> tuple[Drawing, Axes]:
    """A figure and an axes with a row for each name, of which none hides another."""
    labels = [canvas.two_lines(name) for name in names]
    many = len(labels) > MANY_ROWS
    lines = max((label.count("\n") + 1 for label in labels), default=1)
    inches = (0.17 if many else 0.23) * (1.0 if lines == 1 else 1.35)
    figure, (ax,) = canvas.axes(0.9 + inches * max(2, len(labels)))
    ax.set_yticks(range(len(labels)), labels, fontsize=7 if many or lines > 1 else 8.5)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)  # type: ignore[union-attr, call-arg]
    return figure, ax


def interval_line(
    ax: Axes, row: float, ends: tuple[float, float], within: tuple[float, float], color: str
) -> None:
    """An interval, with an arrow in place of an end that lies beyond what can be shown."""
    low, high = max(ends[0], within[0]), min(ends[1], within[1])
    ax.add_line(Line2D([low, high], [row, row], color=color, linewidth=1.8, solid_capstyle="butt"))
    for end, shown, beyond, sign in (
        (low, ends[0], "<", -1), (high, ends[1], ">", 1)
    ):  # fmt: skip
        marker = beyond if sign * (shown - end) > 1e-9 else "|"
        inward = -sign * 0.004 * (within[1] - within[0]) if marker == beyond else 0.0
        ax.plot([end + inward], [row], marker, color=color, markersize=5, clip_on=False)


def variant_color(variant: VariantSummary, summary: Summary) -> str:
    """By its verdict, in every figure."""
    if variant.is_baseline:
        return canvas.TONE_COLORS["baseline"]
    verdict = variant.effect.verdict if variant.effect and not summary.leaked else "undecided"
    return canvas.TONE_COLORS[verdict]


def color_words(summary: Summary) -> str:
    """What the colours of variants mean."""
    if summary.leaked:
        return _("Black is the baseline; no verdict is claimed.")
    return _(
        "Black: baseline; blue: better; orange: worse; green: equivalent or "
        "identical; grey: undecided."
    )


def _limits(shown: Sequence[VariantSummary], bounds: tuple[float, float]) -> tuple[float, float]:
    """Around the seeds, and the intervals as far as they are not much wider than these."""
    seeds = [100 * a for v in shown for a in v.accuracies.values()]
    pad = max(0.6 * (max(seeds) - min(seeds)), 0.5)
    known = [v.accuracy for v in shown if v.accuracy is not None]
    lows = [100 * each.low for each in known if each.low is not None]
    highs = [100 * each.high for each in known if each.high is not None]
    low = max(bounds[0], min(seeds) - pad, min([*lows, min(seeds)]) - 0.05 * pad)
    high = min(bounds[1], max(seeds) + pad, max([*highs, max(seeds)]) + 0.05 * pad)
    return low, high


def _seeds(ax: Axes, row: int, variant: VariantSummary, limits: tuple[float, float]) -> None:
    """Its seeds as points; those that would hide one another stand above each other."""
    values = few_seeds(np.array([100 * a for a in variant.accuracies.values()]))
    grain = (limits[1] - limits[0]) / (60 if canvas.is_narrow() else 130)
    heights, stack = np.zeros(len(values)), 0
    for i in range(1, len(values)):
        stack = (stack + 1) % LONGEST_STACK if values[i] - values[i - 1] < grain else 0
        heights[i] = 0.11 * stack
    (points,) = ax.plot(
        values,
        row - heights,
        "o",
        color=canvas.FAINT,
        markersize=3.4,
        markeredgewidth=0,
        alpha=0.85,
    )
    first = sorted(variant.accuracies.items())[:MOST_SEEDS]
    told = ", ".join(f"{seed}: {100 * a:.2f}" for seed, a in first)
    told += ", …" if len(first) < variant.n else ""
    canvas.tip(points, _("{name}, % by seed: {told}", name=variant.name, told=told))


def _baseline_band(ax: Axes, base: VariantSummary, bounds: tuple[float, float]) -> None:
    if base.accuracy is None:
        return
    ax.axvline(100 * base.accuracy.mean, color=canvas.BASELINE, linewidth=0.8, alpha=0.5, zorder=0)
    if base.accuracy.low is not None and base.accuracy.high is not None:
        low, high = (
            float(np.clip(100 * x, *bounds)) for x in (base.accuracy.low, base.accuracy.high)
        )
        ax.axvspan(low, high, color=canvas.BASELINE, alpha=0.08, linewidth=0, zorder=0)


def _mean_with_interval(ax: Axes, row: float, variant: VariantSummary, summary: Summary) -> None:
    if variant.accuracy is None:
        return
    color, found = variant_color(variant, summary), variant.accuracy
    if found.low is not None and found.high is not None and found.low < found.high:
        ends = 100 * found.low, 100 * found.high
        interval_line(ax, row, ends, ax.get_xlim(), color)
    (point,) = ax.plot([100 * found.mean], [row], "o", color=color, markersize=5.5, zorder=3)
    canvas.tip(point, f"{variant.name}: {fmt.accuracy(found)} %, n = {found.n}")


def _records(variant: VariantSummary) -> list[dict[str, Value]]:
    accuracy = variant.accuracy
    return [
        {
            "variant": variant.name, "seed": seed, "test": score,
            "mean": accuracy.mean if accuracy else None,
            "low": accuracy.low if accuracy else None,
            "high": accuracy.high if accuracy else None,
        }
        for seed, score in sorted(variant.accuracies.items())
    ]  # fmt: skip
