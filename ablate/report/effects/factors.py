"""Which place, which kind, which r: the user's question answered, and what each place adds."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes

from ablate.page import canvas
from ablate.page.document import (
    Block,
    Column,
    Figure,
    Finding,
    Findings,
    Note,
    Row,
    Table,
    TableCell,
)
from ablate.report.arms import BARE, arms_of
from ablate.report.design import controls_of, design
from ablate.report.effects.shapley import shapley_blocks
from ablate.report.summary import Summary
from ablate.stats import Verdict, words
from ablate.stats.contrasts import Estimate
from ablate.stats.factor_words import (
    interaction_claim,
    level_name,
    main_claim,
    main_evidence,
    term,
)
from ablate.stats.factors import (
    Interaction,
    InteractionOf,
    MainEffect,
    interactions,
    main_effects,
)
from ablate.system.messages.language import _

MOST_SHOWN = 12
"""So many differences of differences of a pair of factors stand in the table, the clearest first."""


def factor_blocks(summary: Summary, drawn: Mapping[str, Figure]) -> tuple[Block, ...]:
    """A sentence for each question, the main effects, the interactions, and what each place adds; `drawn` are
    the figures of this section by name.
    """
    asked, together = answers(summary)
    shares = shapley_blocks(summary, drawn.get("shapley"))
    if not asked and not shares and not drawn:
        return ()
    told = (Findings(_findings(asked, together)),) if asked and not summary.leaked else ()
    leaked = (Note(_(BARE), "warning"),) if summary.leaked else ()
    found = (
        drawn.get("placement"),
        drawn.get("factors"),
        main_table(asked, summary),
        drawn.get("heat-map"),
        None if summary.leaked else _together_table(together),
    )
    return (*leaked, *told, *(block for block in found if block is not None), *shares)


def main_table(asked: list[MainEffect], summary: Summary) -> Table | None:
    """Every level of every factor against the mean of the others."""
    rows = tuple(
        Row(
            (
                TableCell(term(found.factor).question),
                TableCell(level_name(found.factor, level)),
                _cell(each, summary),
                TableCell(f"{found.sets}"),
            )
        )
        for found in asked
        for level, each in found.levels.items()
    )
    columns = (
        Column(_("Question"), numeric=False),
        Column(_("Level"), numeric=False),
        Column(_("To the mean of the others"), _("points") + _interval_words(summary)),
        Column(_("Matched sets"), _("equal in all else")),
    )
    held = "" if summary.leaked else (
        _(
            " Each question is a family of its own: its intervals, those of every two levels included, hold "
            "together, and what is said above is read off them."
        )
    )  # fmt: skip
    caption = _(
        "Levels of each factor, compared only among variants that are equal in "
        "everything else, and averaged over these matched sets.{held}",
        held=held,
    )
    return Table(caption, columns, rows) if rows else None


def factors_figure(summary: Summary) -> Figure | None:
    """The main effects with their intervals, a panel for each factor."""
    asked = answers(summary)[0]
    if not asked or summary.leaked:
        return None
    most = max(len(found.levels) for found in asked)
    figure, boxes = canvas.axes(1.0 + 0.3 * most, len(asked))
    for ax, found in zip(boxes, asked, strict=True):
        _panel(ax, found)
    return Figure(
        "factors",
        _(
            "Levels of each factor against the mean of the others; the same numbers are in the table."
        ),
        _(
            "Points of test {title} with simultaneous 95 % intervals of each question. Blue: above the mean "
            "of the others; orange: below; grey: not decided.", title=summary.judged_by.title,
        ),
        canvas.saved(figure),
        [
            {
                "factor": found.factor, "level": str(level), "difference": each.difference,
                "low": each.low, "high": each.high, "matched_sets": found.sets,
            }
            for found in asked
            for level, each in found.levels.items()
        ],
    )  # fmt: skip


def _panel(ax: Axes, found: MainEffect) -> None:
    ax.axvline(0, color=canvas.BASELINE, linewidth=1)
    for row, (level, each) in enumerate(found.levels.items()):
        color, name = canvas.TONE_COLORS[_tone(each)], level_name(found.factor, level)
        ax.errorbar(
            100 * each.difference, row, xerr=100 * each.half, color=color, elinewidth=2, capsize=3
        )
        (point,) = ax.plot([100 * each.difference], [row], "o", color=color, markersize=6)
        told = _(
            "{difference} points ({interval})",
            difference=words.points(each.difference),
            interval=words.span(each.low, each.high),
        )
        canvas.tip(point, f"{name}: {told}")
    names = [canvas.two_lines(level_name(found.factor, level), 24) for level in found.levels]
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.set(title=term(found.factor).question, ylim=(len(names) - 0.4, -0.6), xlabel=_("Points"))
    ax.grid(axis="y", visible=False)


def answers(summary: Summary) -> tuple[list[MainEffect], list[InteractionOf]]:
    """The main effect of each factor that can be asked for, and the interactions of every two."""
    return summary.once("factors", lambda: _answers(summary))


def _answers(summary: Summary) -> tuple[list[MainEffect], list[InteractionOf]]:
    arms = arms_of(summary)
    if arms is None:
        return [], []
    aside = controls_of(summary)
    table = {name: levels for name, levels in design(summary).items() if name not in aside}
    every = summary.any_time
    return main_effects(arms, table, looks=every), interactions(arms, table, looks=every)


def _findings(asked: list[MainEffect], together: list[InteractionOf]) -> tuple[Finding, ...]:
    found = [
        Finding(
            f"{term(each.factor).question} {main_claim(each)}",
            main_evidence(each),
            _best_tone(each.levels),
        )
        for each in asked
    ]
    for both in together:
        decided = both.clearest.estimate.above or both.clearest.estimate.below
        number = len(both.found)
        note = (
            _("The only difference of differences that there is.")
            if number == 1
            else _(
                "The clearest of {number} differences of differences, whose intervals hold "
                "together.",
                number=number,
            )
        )
        # A difference of differences is neither good nor bad.
        found.append(Finding(interaction_claim(both), note, "" if decided else Verdict.UNDECIDED))
    return tuple(found)


def _together_table(together: list[InteractionOf]) -> Table | None:
    rows = tuple(
        Row(
            (
                TableCell(" × ".join(term(factor).one for factor in both.factors)),
                TableCell(_versus(both.factors[0], each.levels)),
                TableCell(_versus(both.factors[1], each.at)),
                TableCell(
                    words.points(each.estimate.difference),
                    words.span(each.estimate.low, each.estimate.high),
                ),
            )
        )
        for both in together
        for each in _clearest(both)
    )
    columns = (
        Column(_("Factors"), numeric=False),
        Column(_("Difference of"), numeric=False),
        Column(_("At"), _("the first minus the second"), numeric=False),
        Column(_("How much more"), _("points, simultaneous 95 % interval")),
    )
    caption = _(
        "Interactions: how much more two levels of one factor differ at one level of "
        "another than at a second. Of each pair of factors at most the {most} "
        "clearest stand here; the intervals of a pair hold together for all of them.",
        most=MOST_SHOWN,
    )
    return Table(caption, columns, rows, folded=_("Interactions of factors")) if rows else None


def _clearest(both: InteractionOf) -> list[Interaction]:
    ranked = sorted(
        both.found, key=lambda each: -abs(each.estimate.difference / each.estimate.half)
    )
    return ranked[:MOST_SHOWN]


def _versus(factor: str, levels: tuple[str | int | float, str | int | float]) -> str:
    return " − ".join(level_name(factor, level) for level in levels)


def _cell(estimate: Estimate, summary: Summary) -> TableCell:
    if summary.leaked:
        return TableCell(words.points(estimate.difference))
    span = words.span(estimate.low, estimate.high)
    return TableCell(words.points(estimate.difference), span, _tone(estimate))


def _interval_words(summary: Summary) -> str:
    return "" if summary.leaked else _(", simultaneous 95 % interval")


def _tone(estimate: Estimate) -> Verdict:
    if estimate.above:
        return Verdict.BETTER
    return Verdict.WORSE if estimate.below else Verdict.UNDECIDED


def _best_tone(levels: Mapping[str | int | float, Estimate]) -> Verdict:
    """Of a question: whether any level is above or below the others."""
    tones = {_tone(each) for each in levels.values()}
    ordered = (Verdict.BETTER, Verdict.WORSE, Verdict.UNDECIDED)
    return next(tone for tone in ordered if tone in tones)
