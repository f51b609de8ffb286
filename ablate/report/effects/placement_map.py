"""Where attention stands: the network as a line of modules, and effect and cost at each set of places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from ablate.page import canvas
from ablate.page import format as fmt
from ablate.page.document import Figure, Value
from ablate.report.cost.families import attended_module, is_attention
from ablate.report.cost.speeds import SpeedColumn, ratio_to
from ablate.report.design import places_of
from ablate.report.figures import variant_color
from ablate.report.summary import Summary, VariantSummary
from ablate.stats.words import points, span
from ablate.system.messages.language import _, amount

MOST_ROWS = 24
MOST_MODULES = 14
MOST_LINES = 8
"""So many variants of one row have an interval drawn; of more the points alone are readable."""


@dataclass(frozen=True)
class Row:
    """One set of places, and the variants that attend to it."""

    places: frozenset[str]
    variants: tuple[VariantSummary, ...]


def placement_figure(summary: Summary) -> Figure | None:
    """A row for each set of places: which they are, the effect of every variant there, and its speed."""
    rows = rows_of(summary)
    if len(rows) < 2 or summary.leaked:
        return None
    line = modules_of(summary, frozenset().union(*(row.places for row in rows)))
    shown = sorted(rows, key=lambda row: _order(row, line))[:MOST_ROWS]
    column = next(iter(summary.main_columns), None)
    inches = 1.7 + sum(_height(row) for row in shown)
    figure, boxes = canvas.axes(inches, 2 if column is None else 3)
    heights = np.cumsum([0.0, *(_height(row) for row in shown)])
    middles = list((heights[1:] + heights[:-1]) / 2)
    _network(boxes[0], line, shown, middles)
    _effects(boxes[1], shown, middles, summary)
    if column is not None:
        _costs(boxes[2], shown, middles, summary, column)
    for i, ax in enumerate(boxes):
        _frame(ax, shown, middles, float(heights[-1]), named=i == 0 or canvas.is_narrow())
    return Figure(
        "placement",
        _(
            "The network as a line of modules with {sets} of places, and effect and "
            "speed of the variants at each; the same numbers are in the table of results.",
            sets=amount(len(shown), "set"),
        ),
        _caption(len(rows) - len(shown), shown, summary, column),
        canvas.saved(figure),
        [_record(row, variant, summary, column) for row in shown for variant in row.variants],
    )


def rows_of(summary: Summary) -> list[Row]:
    """The sets of places of the variants that have an effect."""
    by_places: dict[frozenset[str], list[VariantSummary]] = {}
    for name, places in places_of(summary).items():
        found = next((v for v in summary.tested if v.name == name), None)
        if found is not None and found.effect and found.effect.difference is not None:
            by_places.setdefault(places, []).append(found)
    return [Row(places, tuple(variants)) for places, variants in by_places.items()]


def modules_of(summary: Summary, places: frozenset[str]) -> list[str]:
    """The network's modules in their order, as far as a line can show them: places always, and between them
    the outermost modules that have parameters.
    """
    found: dict[str, None] = {}
    most = summary.layers[summary.layers["attention"].fillna(False).astype(bool)]
    order = most.groupby("variant")["path"].nunique().sort_values(ascending=False, kind="stable")
    for variant in [*map(str, order.index), summary.baseline]:
        paths = [str(p) for p in summary.layers.loc[summary.layers["variant"] == variant, "path"]]
        for path in paths:
            name = attended_module(path) if is_attention(path) else path.split(".")[0]
            if name in places or not is_attention(path):
                found.setdefault(name)
        if places <= found.keys():
            break
    line = _in_order(summary, places, list(found))
    others = [name for name in line if name not in places]
    left = set(others[: max(0, MOST_MODULES - len(places))])
    return [name for name in line if name in places or name in left]


def _in_order(summary: Summary, places: frozenset[str], found: list[str]) -> list[str]:
    """Places that no variant's layers tell of come last, in the order of their names."""
    return found + sorted(places - set(found))


def _order(row: Row, line: Sequence[str]) -> tuple[int, list[int]]:
    return len(row.places), sorted(line.index(place) for place in row.places)


def _height(row: Row) -> float:
    """Inches of a row."""
    return max(0.34, 0.09 * min(len(row.variants), 14) + 0.12)


def _network(ax: Axes, line: Sequence[str], rows: Sequence[Row], middles: Sequence[float]) -> None:
    """Boxes in a line, and below each row's places as dots that are joined."""
    attended = frozenset[str]().union(*(row.places for row in rows))
    ax.plot(
        [0, len(line) - 1], [-0.42, -0.42], color=canvas.GREY, linewidth=1, zorder=1, clip_on=False
    )
    for i, name in enumerate(line):
        marked = name in attended
        ax.plot(
            [i],
            [-0.42],
            "s",
            markersize=9,
            color=canvas.PURPLE if marked else canvas.FAINT,
            clip_on=False,
        )
    for row, middle in zip(rows, middles, strict=True):
        at = sorted(line.index(place) for place in row.places)
        ax.plot(
            range(len(line)), [middle] * len(line), "o", color=canvas.GRID, markersize=4, zorder=1
        )
        ax.plot(
            at,
            [middle] * len(at),
            "o-",
            color=canvas.PURPLE,
            markersize=6.5,
            linewidth=1.6,
            zorder=2,
        )
    ax.set_xticks(
        range(len(line)),
        [canvas.label(name, 16) for name in line],
        rotation=45,
        ha="left",
        fontsize=7,
    )
    ax.xaxis.tick_top()
    ax.set_xlim(-0.6, len(line) - 0.4)
    ax.spines[:].set_visible(False)
    ax.grid(visible=False)


def _effects(ax: Axes, rows: Sequence[Row], middles: Sequence[float], summary: Summary) -> None:
    ax.axvline(0, color=canvas.BASELINE, linewidth=1, zorder=0)
    for y, row, variant in _spread(rows, middles):
        effect = variant.effect
        if effect is None or effect.difference is None:
            continue
        color = variant_color(variant, summary)
        if effect.low is not None and effect.high is not None:
            thin = 1.3 if len(row.variants) <= MOST_LINES else 0.6
            ends = [100 * max(effect.low, -1.0), 100 * min(effect.high, 1.0)]
            ax.plot(ends, [y, y], color=color, linewidth=thin, alpha=0.75)
        (point,) = ax.plot([100 * effect.difference], [y], "o", color=color, markersize=4)
        told = span(effect.low, effect.high)
        canvas.tip(
            point,
            _(
                "{name}: {difference} points",
                name=variant.name,
                difference=points(effect.difference),
            )
            + (f" ({told})" if told else ""),
        )
    ax.set_xlabel(
        _("Difference to {baseline} (points)", baseline=canvas.label(summary.baseline, 16)),
        fontsize=8,
    )


def _costs(
    ax: Axes, rows: Sequence[Row], middles: Sequence[float], summary: Summary, column: SpeedColumn
) -> None:
    ax.axvline(1, color=canvas.BASELINE, linewidth=1, zorder=0)
    for y, _row, variant in _spread(rows, middles):
        ratio = ratio_to(variant.speeds.get(column), summary.reference.speeds.get(column))
        if ratio is None:
            continue
        if ratio.low is not None and ratio.high is not None:
            ax.plot([ratio.low, ratio.high], [y, y], color=canvas.GREY, linewidth=1)
        (point,) = ax.plot([ratio.ratio], [y], "o", color=canvas.GREY, markersize=4)
        canvas.tip(
            point, f"{variant.name}: {fmt.ratio(ratio.ratio, ratio.low, ratio.high)} {column.title}"
        )
    ax.set_xlabel(_("{title}, × the baseline's", title=column.title), fontsize=8)


def _spread(
    rows: Sequence[Row], middles: Sequence[float]
) -> list[tuple[float, Row, VariantSummary]]:
    """The variants of each row, one below the other."""
    found = []
    for row, middle in zip(rows, middles, strict=True):
        room = _height(row) - 0.14
        offsets = (
            np.linspace(-room / 2, room / 2, len(row.variants)) if len(row.variants) > 1 else [0.0]
        )
        found += [(middle + float(o), row, v) for o, v in zip(offsets, row.variants, strict=True)]
    return found


def _frame(
    ax: Axes, rows: Sequence[Row], middles: Sequence[float], height: float, *, named: bool
) -> None:
    names = [_name(row) for row in rows] if named else [""] * len(rows)
    ax.set_yticks(middles, names, fontsize=7.5)
    ax.set_ylim(height + 0.05, -0.6 if ax.xaxis.get_ticks_position() == "top" else -0.05)
    ax.tick_params(axis="both", length=0)
    ax.tick_params(axis="x", labelsize=7.5)
    ax.grid(axis="y", visible=False)


def _name(row: Row) -> str:
    text = (
        f"{' + '.join(sorted(row.places))}"
        if len(row.places) <= 3
        else _("{n} places", n=len(row.places))
    )
    return canvas.two_lines(text, 26)


def _caption(left: int, rows: Sequence[Row], summary: Summary, column: SpeedColumn | None) -> str:
    dense = any(len(row.variants) > MOST_LINES for row in rows)
    return _(
        "Purple: where attention stands; a row for each set of places, a point for "
        "each variant that attends to it, by its verdict as everywhere, with the "
        "interval that this is read off{dense}. Beside it what it costs{conditions}. "
        "Rows differ in more than their places where kinds or options do: the table "
        "below compares like with like.",
        dense=_(" (thin where there are many)") if dense else "",
        conditions=f": {column.conditions}" if column else "",
    ) + (_(" {sets} of places left out.", sets=amount(left, "more set")) if left else "")


def _record(
    row: Row, variant: VariantSummary, summary: Summary, column: SpeedColumn | None
) -> Mapping[str, Value]:
    effect, base = variant.effect, summary.reference
    ratio = ratio_to(variant.speeds.get(column), base.speeds.get(column)) if column else None
    return {
        "places": " + ".join(sorted(row.places)),
        "variant": variant.name,
        "difference": effect.difference if effect else None,
        "low": effect.low if effect else None,
        "high": effect.high if effect else None,
        "verdict": effect.verdict.value if effect else None,
        "speed_ratio": ratio.ratio if ratio else None,
        "speed_ratio_low": ratio.low if ratio else None,
        "speed_ratio_high": ratio.high if ratio else None,
    }
