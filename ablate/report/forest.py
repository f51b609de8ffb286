"""The figure of effects: the one interval of each variant that its verdict is read off."""

from __future__ import annotations

from ablate.page import canvas
from ablate.page.document import Figure
from ablate.report.figures import color_words, variant_color
from ablate.report.summary import Summary
from ablate.stats.words import size
from ablate.system.text import plural


def effects_figure(summary: Summary) -> Figure | None:
    """Differences to the baseline with their simultaneous intervals, and the margin as a band."""
    shown = [v for v in summary.tested if v.effect and v.effect.low is not None]
    if not shown or summary.leaked:
        return None
    figure, (ax,) = canvas.axes(1.1 + 0.27 * len(shown))
    margin = 100 * max(v.effect.margin for v in shown if v.effect)
    ax.axvspan(-margin, margin, color=canvas.GRID, alpha=0.6, linewidth=0)
    ax.axvline(0, color=canvas.BASELINE, linewidth=1)
    for row, variant in enumerate(shown):
        effect = variant.effect
        if effect is None or effect.difference is None or effect.low is None or effect.high is None:
            continue
        below, above = effect.difference - effect.low, effect.high - effect.difference
        ax.errorbar(
            100 * effect.difference, row, xerr=[[100 * below], [100 * above]], fmt="o",
            color=variant_color(variant, summary), markersize=6, elinewidth=2, capsize=3,
        )  # fmt: skip
    ax.set_yticks(range(len(shown)), [canvas.label(v.name) for v in shown])
    ax.set(
        xlabel=f"Difference to {canvas.label(summary.baseline)} (points of test {summary.judged_by.title})",
        ylim=(len(shown) - 0.4, -0.6),
    )
    ax.grid(axis="y", visible=False)
    return Figure(
        "effects",
        f"Difference of {plural(len(shown), 'variant')} to the baseline with simultaneous 95 % intervals; "
        "the same numbers are in the table of results.",
        "The verdicts are read off these intervals, which hold together for all variants. The band is "
        f"the margin of equivalence, ±{size(margin / 100)} points. {color_words(summary)}",
        canvas.png(figure),
    )
