"""What each place adds, in accuracy and in time, where every set of the places was run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ablate.page import canvas
from ablate.page.document import Block, Column, Figure, Row, Table, TableCell
from ablate.report.arms import arms_of
from ablate.report.cost.speeds import SpeedColumn, ratio_to
from ablate.report.design import placements
from ablate.report.summary import Summary, VariantSummary
from ablate.stats import words
from ablate.stats.contrasts import Estimate
from ablate.stats.shapley import Coalition, shapley_estimates, shapley_values
from ablate.system.messages.language import _


@dataclass(frozen=True)
class Shares:
    """What each place adds: accuracy, and milliseconds an image under each condition."""

    label: str
    placed: Mapping[Coalition, str]
    accuracy: Mapping[str, Estimate]
    milliseconds: Mapping[SpeedColumn, Mapping[str, float]]

    @property
    def total(self) -> float:
        """The difference of all places and none in accuracy, which the shares add up to."""
        return sum(each.difference for each in self.accuracy.values())


def shares_of(summary: Summary) -> list[Shares]:
    """One for each kind whose placements were all run twice or more."""
    return summary.once("shapley", lambda: _shares_of(summary))


def _shares_of(summary: Summary) -> list[Shares]:
    arms = arms_of(summary)
    if arms is None:
        return []
    variants = {variant.name: variant for variant in summary.variants}
    return [
        Shares(
            label,
            placed,
            shapley_estimates(arms, placed, looks=summary.any_time),
            _milliseconds({s: variants[name] for s, name in placed.items()}, summary),
        )
        for label, placed in placements(summary).items()
        if set(placed.values()) <= set(arms.names)
    ]


def shapley_blocks(summary: Summary, figure: Figure | None) -> tuple[Block, ...]:
    """A table for each kind, and the figure."""
    found = shares_of(summary)
    return (*(_table(each, summary) for each in found), *((figure,) if figure else ()))


def shapley_figure(summary: Summary) -> Figure | None:
    """Bars of what each place adds to accuracy, with intervals."""
    found = shares_of(summary)
    if not found:
        return None
    most = max(len(each.accuracy) for each in found)
    figure, boxes = canvas.axes(1.0 + 0.35 * most, len(found))
    for ax, shares in zip(boxes, found, strict=True):
        gains = [100 * each.difference for each in shares.accuracy.values()]
        spread = None if summary.leaked else [100 * each.half for each in shares.accuracy.values()]
        ax.barh(
            range(most)[: len(gains)],
            gains,
            xerr=spread,
            color=canvas.SKY,
            ecolor=canvas.INK,
            height=0.6,
        )
        ax.axvline(0, color=canvas.BASELINE, linewidth=1)
        ax.set_yticks(range(len(gains)), [canvas.two_lines(place, 18) for place in shares.accuracy])
        ax.set(title=canvas.label(shares.label, 30), xlabel=_("Points"), ylim=(most - 0.4, -0.6))
        ax.grid(axis="y", visible=False)
    bars = "" if summary.leaked else _(" Lines: simultaneous 95 % intervals of one kind.")
    return Figure(
        "shapley",
        _(
            "What each place adds to test accuracy (Shapley values); the same numbers are in the tables."
        ),
        _(
            "Averaged over all orders in which places can be added; bars add up to the difference of all "
            "places and none.{bars}", bars=bars,
        ),
        canvas.saved(figure),
        [
            {
                "kind": shares.label, "place": place, "difference": each.difference,
                "low": None if summary.leaked else each.low,
                "high": None if summary.leaked else each.high,
            }
            for shares in found
            for place, each in shares.accuracy.items()
        ],
    )  # fmt: skip


def _table(shares: Shares, summary: Summary) -> Table:
    modes = list(shares.milliseconds)
    rows = [
        Row(
            (
                TableCell(place),
                _accuracy(each, summary),
                *(TableCell(_signed(shares.milliseconds[mode][place])) for mode in modes),
            )
        )
        for place, each in shares.accuracy.items()
    ]
    totals = [sum(shares.milliseconds[mode].values()) for mode in modes]
    sums = (TableCell(words.points(shares.total)), *(TableCell(_signed(t)) for t in totals))
    rows.append(Row((TableCell(_("all places − none")), *sums), marked=True))
    columns = (
        Column(_("Place"), numeric=False),
        Column(
            _("Accuracy"),
            _("points") + ("" if summary.leaked else _(", simultaneous 95 % interval")),
        ),
        *(
            Column(_("{mode} time", mode=_(mode.mode).capitalize()), _("µs an image"))
            for mode in modes
        ),
    )
    conditions = (
        _(" Time: {conditions}, without intervals.", conditions=modes[0].conditions)
        if modes
        else ""
    )
    caption = _(
        "{label}: what each place adds, exactly over all {n} sets of places (Shapley "
        "values); they add up to the last row.{conditions}",
        label=shares.label,
        n=len(shares.placed),
        conditions=conditions,
    )
    return Table(caption, columns, tuple(rows))


def _accuracy(estimate: Estimate, summary: Summary) -> TableCell:
    span = "" if summary.leaked else words.span(estimate.low, estimate.high)
    return TableCell(words.points(estimate.difference), span)


def _milliseconds(
    placed: Mapping[Coalition, VariantSummary], summary: Summary
) -> dict[SpeedColumn, dict[str, float]]:
    """Milliseconds an image by condition, where every set of places was measured under it."""
    found = {}
    for column in summary.main_columns:
        times = {places: _of(variant, summary, column) for places, variant in placed.items()}
        known = {places: time for places, time in times.items() if time is not None}
        if len(known) == len(placed):
            found[column] = shapley_values(known)
    return found


def _of(variant: VariantSummary, summary: Summary, column: SpeedColumn) -> float | None:
    """Milliseconds an image, from the ratio to the baseline: medians of a machine that drifts differ."""
    base = summary.reference.speeds.get(column)
    if base is None:
        return None
    ratio = None if variant.is_baseline else ratio_to(variant.speeds.get(column), base)
    if ratio is None and not variant.is_baseline:
        return None
    return 1000 / (base.images_per_second * (ratio.ratio if ratio else 1.0))


def _signed(milliseconds: float) -> str:
    """In microseconds, with a sign."""
    return f"{1000 * milliseconds:+,.3g}".replace("-", "−")
