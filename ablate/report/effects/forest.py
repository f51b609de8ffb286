"""The figure of effects: the one interval of each variant that its verdict is read off."""

from __future__ import annotations

from matplotlib.axes import Axes

from ablate.page import canvas
from ablate.page.document import Figure
from ablate.report.figures import color_words, interval_line, row_axes, variant_color
from ablate.report.readable import MOST_DRAWN, ends, of_variants
from ablate.report.summary import Summary, VariantSummary
from ablate.stats import Effect
from ablate.stats.words import points, size, span
from ablate.system.messages.language import _, amount

MOST_POINTS = 100.0


def effects_figure(summary: Summary) -> Figure | None:
    """Differences to the baseline with their simultaneous intervals, and the margin as a band."""
    every = [(v, v.effect) for v in summary.tested if v.effect and v.effect.low is not None]
    if not every or summary.leaked:
        return None
    every.sort(key=lambda pair: -(pair[1].difference or 0.0))
    shown = ends(every, MOST_DRAWN, lambda pair: pair[1].difference, lambda _pair: False)
    figure, ax = row_axes([v.name for v, _ in shown])
    margin = 100 * max(effect.margin for _, effect in shown)
    ax.axvspan(-margin, margin, color=canvas.GRID, alpha=0.6, linewidth=0, zorder=0)
    ax.axvline(0, color=canvas.BASELINE, linewidth=1, zorder=0)
    ax.set_xlim(*_limits([effect for _, effect in shown], margin))
    ax.set_xlabel(
        _(
            "Difference to {baseline} (points of {title})",
            baseline=canvas.label(summary.baseline, 20),
            title=summary.judged_by.title,
        )
    )
    for row, (variant, effect) in enumerate(shown):
        _row(ax, row, variant, effect, summary)
    return Figure(
        "effects",
        _(
            "Difference of {variants} to the baseline with simultaneous 95 % intervals; the same numbers are "
            "in the table of results.", variants=amount(len(every), "variant"),
        ),
        _(
            "The verdicts are read off these intervals, which hold together for all variants; the "
            "highest difference is first. The band is the margin of equivalence, ±{margin} points. {colors}",
            margin=size(margin / 100), colors=color_words(summary),
        )
        + of_variants(len(shown), len(every), "figures/effects.csv"),
        canvas.saved(figure),
        [
            {
                "variant": effect.variant, "difference": effect.difference, "low": effect.low,
                "high": effect.high, "margin": effect.margin, "verdict": effect.verdict.value,
                "n": effect.n, "n_baseline": effect.n_baseline,
            }
            for _, effect in every
        ],
    )  # fmt: skip


def _limits(effects: list[Effect], margin: float) -> tuple[float, float]:
    """What the intervals need, as far as accuracy can differ."""
    lows = [100 * (e.low or 0.0) for e in effects]
    highs = [100 * (e.high or 0.0) for e in effects]
    low, high = min([*lows, -margin]), max([*highs, margin])
    pad = 0.03 * (high - low)
    return max(low - pad, -MOST_POINTS), min(high + pad, MOST_POINTS)


def _row(ax: Axes, row: int, variant: VariantSummary, effect: Effect, summary: Summary) -> None:
    if effect.difference is None or effect.low is None or effect.high is None:
        return
    color = variant_color(variant, summary)
    interval_line(ax, row, (100 * effect.low, 100 * effect.high), ax.get_xlim(), color)
    (point,) = ax.plot([100 * effect.difference], [row], "o", color=color, markersize=5.5)
    told = _(
        "{difference} points ({interval}), {verdict}",
        difference=points(effect.difference),
        interval=span(effect.low, effect.high),
        verdict=_(effect.verdict),
    )
    canvas.tip(point, f"{variant.name}: {told}")
