"""Accuracy against cost: a point for each variant, and names where none hides another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation, Text
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import Bbox

from ablate.page import canvas
from ablate.page.document import Figure, Value
from ablate.page.format import accuracy, speed
from ablate.report.cost.speeds import SpeedColumn, ratio_to
from ablate.report.figures import color_words, variant_color
from ablate.report.readable import MOST_LISTED, ends, mean_of, of_variants
from ablate.report.summary import Summary, VariantSummary
from ablate.system.messages.language import _

MOST_NAMED = 12
"""With more variants the baseline and the ends alone have a name."""
SIDES = [
    (7, 6),
    (-7, 6),
    (7, -12),
    (-7, -12),
    (0, 12),
    (0, -18),
    (14, 18),
    (-14, 18),
    (14, -24),
    (-14, -24),
]
"""Where a name may stand beside its point, in points; the first that is free."""

NEAR = 12
"""A name further from its point has a line to it."""
_LEADER = {"arrowstyle": "-", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3}

Placed = tuple[float, float, VariantSummary]


def cost_figure(summary: Summary) -> Figure | None:
    """Mean score against throughput, where it was measured, and against parameters."""
    column = _fullest(summary)
    panels: list[SpeedColumn | None] = [column] if column else []
    sized = [v for v in summary.finished if v.parameters is not None]
    panels += [None] if sized else []
    if not panels or not summary.finished:
        return None
    figure, boxes = canvas.axes(4.0, len(panels))
    placed = [_panel(ax, panel, summary) for ax, panel in zip(boxes, panels, strict=True)]
    for ax in boxes[: 1 if len(boxes) > 1 and not canvas.is_narrow() else None]:
        ax.set_ylabel(_("Mean test {title} (%)", title=summary.judged_by.title))
    figure.set_dpi(100)
    painter: Any = FigureCanvasAgg(figure)  # its methods have no types
    painter.draw()  # what stands where has to be known before names are placed
    for ax, points in zip(boxes, placed, strict=True):
        _name(ax, points, summary, painter)
    figure.set_dpi(canvas.PIXELS_PER_INCH)
    speeds = (
        _(
            " Speed: {conditions}; the baseline's times the ratio to it, with the "
            "interval of the table.",
            conditions=column.conditions,
        )
        if column
        else ""
    )
    return Figure(
        "cost",
        _(
            "Mean test {title} of every variant against {costs}; the same numbers are in "
            "the table of results.",
            title=summary.judged_by.title,
            costs=_("throughput and parameters") if column else _("parameters"),
        ),
        _(
            "Up is better; faster is right, smaller is left. Lines are 95 % "
            "intervals.{speeds} {colors}",
            speeds=speeds,
            colors=color_words(summary),
        )
        + of_variants(len(_drawn(summary)), len(summary.finished), "figures/cost.csv"),
        canvas.saved(figure),
        [_record(variant, column, summary) for variant in summary.finished],
    )


def _drawn(summary: Summary) -> list[VariantSummary]:
    stays = {summary.baseline} | summary.once("cheapest", lambda: _cheapest(summary))
    return ends(summary.finished, MOST_LISTED, mean_of, lambda v: v.name in stays)


def _cheapest(summary: Summary) -> set[str]:
    """Those that no variant with as few parameters is better than: whoever looks at cost looks for them."""
    sized = [v for v in summary.finished if v.parameters is not None]
    best, found = -math.inf, set[str]()
    for v in sorted(sized, key=lambda v: (v.parameters or 0.0, -(mean_of(v) or 0.0))):
        if (mean := mean_of(v)) is not None and mean > best:
            best = mean
            found.add(v.name)
    return found


def _panel(ax: Axes, column: SpeedColumn | None, summary: Summary) -> list[Placed]:
    """One panel: throughput under the conditions of `column`, or parameters without one."""
    placed: list[Placed] = []
    least, most = summary.judged_by.bounds_percent
    for variant in _drawn(summary):
        x, spread = _position(variant, summary.reference, column)
        if x is None or variant.accuracy is None:
            continue
        y, half = 100 * variant.accuracy.mean, variant.accuracy.half_width
        color = variant_color(variant, summary)
        up_to = (
            None if half is None else [[min(100 * half, y - least)], [min(100 * half, most - y)]]
        )
        ax.errorbar(
            x, y, xerr=spread, yerr=up_to, color=color, elinewidth=0.7, alpha=0.55, zorder=1
        )
        (point,) = ax.plot([x], [y], "o", color=color, markersize=5.5, zorder=2)
        title = column.title if column else _("parameters")
        canvas.tip(point, f"{variant.name}: {accuracy(variant.accuracy)} %, {title} {speed(x)}")
        placed.append((x, y, variant))
    ax.margins(x=0.15, y=0.12)
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, least - 0.5), min(high, most + 0.5))
    ax.set_xlabel(column.title if column else _("Parameters"))
    ax.xaxis.set_major_formatter(FuncFormatter(_tick))
    ax.xaxis.set_major_locator(MaxNLocator(4))
    return placed


def _name(ax: Axes, placed: Sequence[Placed], summary: Summary, painter: Any) -> None:
    """Names beside points, as far as each has a free place; a pointer finds the others. A place on the line
    of an interval is taken where there is no other.
    """
    wanted = [p for p in placed if p[2].name in summary.highlights]
    if len(placed) <= MOST_NAMED:
        wanted += [p for p in placed if p not in wanted]
    taken = [_around(ax, x, y) for x, y, _ in placed]
    lines = [line for x, y, variant in placed for line in _lines(ax, x, y, variant)]
    for point in wanted:
        for side, avoided in ((s, a) for a in ([*taken, *lines], taken) for s in SIDES):
            text = _annotated(ax, point, side, variant_color(point[2], summary))
            text.update_positions(painter.get_renderer())
            # Without the line to its point; a pointer's width of air, since other fonts are wider.
            box = Text.get_window_extent(text).expanded(1.08, 1.1)
            inside = ax.get_window_extent()
            within = inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1)
            if within and not any(box.overlaps(other) for other in avoided):
                taken.append(box)
                break
            text.remove()


def _annotated(ax: Axes, point: Placed, side: tuple[int, int], color: str) -> Annotation:
    (x, y, variant), (dx, dy) = point, side
    text = ax.annotate(
        canvas.two_lines(variant.name, 28), (x, y), xytext=side, textcoords="offset points",
        ha="center" if dx == 0 else "left" if dx > 0 else "right", color=color, fontsize=7.5,
        arrowprops=_LEADER | {"color": color} if abs(dy) > NEAR else None,
    )  # fmt: skip
    text.set_in_layout(False)
    return text


def _around(ax: Axes, x: float, y: float) -> Bbox:
    """The place that a point takes, in pixels."""
    across, up = ax.transData.transform((x, y))
    return Bbox.from_bounds(across - 4, up - 4, 8, 8)


def _lines(ax: Axes, x: float, y: float, variant: VariantSummary) -> list[Bbox]:
    """The place that the interval of a point's score takes, in pixels."""
    half = variant.accuracy.half_width if variant.accuracy is not None else None
    if half is None:
        return []
    (across, low), (_x, high) = ax.transData.transform([(x, y - 100 * half), (x, y + 100 * half)])
    return [Bbox.from_extents(across - 1, low, across + 1, high)]


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


def _record(
    variant: VariantSummary, column: SpeedColumn | None, summary: Summary
) -> dict[str, Value]:
    at, spread = _position(variant, summary.reference, column) if column else (None, None)
    mean = variant.accuracy
    return {
        "variant": variant.name,
        "mean": mean.mean if mean else None,
        "low": mean.low if mean else None,
        "high": mean.high if mean else None,
        "parameters": variant.parameters,
        "images_per_second": at,
        "images_per_second_low": None if at is None or spread is None else at - float(spread[0][0]),
        "images_per_second_high": None
        if at is None or spread is None
        else at + float(spread[1][0]),
        "conditions": column.conditions + f" · {column.mode}" if column else None,
    }


def _fullest(summary: Summary) -> SpeedColumn | None:
    """The mode in which most variants were measured; inference before training."""
    number = {c: sum(c in v.speeds for v in summary.finished) for c in summary.main_columns}
    measured = [column for column in summary.main_columns if number[column]]
    return max(measured, key=lambda c: (number[c], c.mode == "infer"), default=None)


def _tick(value: float, _: int | None = None) -> str:
    return speed(value)
