"""Who is dominated in accuracy and cost: only where both differences are decided."""

from __future__ import annotations

from collections.abc import Mapping

from ablate.page import format as fmt
from ablate.page.document import Block, Column, Note, Row, Table, TableCell
from ablate.report.arms import arms_of
from ablate.report.cost.speeds import SpeedColumn, ratio_to
from ablate.report.summary import Summary, VariantSummary
from ablate.stats import words
from ablate.stats.contrasts import Estimate
from ablate.stats.front import Pair, all_pairs, dominated, front_claim
from ablate.stats.ratios import Ratio
from ablate.system.messages.language import _

MOST_VARIANTS = 100
"""With more of them every pair is not looked at."""


def front_blocks(summary: Summary) -> tuple[Block, ...]:
    """A sentence for parameters and for each speed, and a table of whom they say it of."""
    arms = arms_of(summary)
    names = [v.name for v in summary.variants if not v.same_as]
    if summary.leaked or arms is None or len(names) > MOST_VARIANTS:
        return ()
    differences = all_pairs(arms, names, looks=summary.any_time)
    measures: tuple[SpeedColumn | None, ...] = (None, *summary.main_columns)
    found = {measure: _dominated(differences, summary, measure) for measure in measures}
    told = [front_claim(each, _called(measure)) for measure, each in found.items() if each]
    free = [_called(measure) for measure, each in found.items() if not each]
    told += [front_claim({}, _(" or ").join(free))] if free else []
    table = _table(differences, found, summary)
    return (*map(Note, told), *((table,) if table else ()))


def _dominated(
    differences: Mapping[Pair, Estimate], summary: Summary, measure: SpeedColumn | None
) -> dict[str, str]:
    variants = {variant.name: variant for variant in summary.variants}

    def cheaper(one: str, other: str) -> bool:
        return costs_less(variants[one], variants[other], summary.reference, measure)

    return dominated(differences, cheaper)


def _table(
    differences: Mapping[Pair, Estimate],
    found: Mapping[SpeedColumn | None, Mapping[str, str]],
    summary: Summary,
) -> Table | None:
    variants = {variant.name: variant for variant in summary.variants}
    rows = tuple(
        _row(variants[name], variants[by], differences[name, by], summary.reference, measure)
        for measure, pairs in found.items()
        for name, by in pairs.items()
    )
    columns = (
        Column(_("Dominated"), numeric=False),
        Column(_("By"), numeric=False),
        Column(_("Difference"), _("points, 95 % interval over all pairs")),
        Column(_("Cost")),
        Column(_("Cost of the other")),
    )
    caption = _("Less accurate and more expensive than another variant, both decided.")
    return Table(caption, columns, rows) if rows else None


def _row(
    variant: VariantSummary,
    by: VariantSummary,
    difference: Estimate,
    base: VariantSummary,
    measure: SpeedColumn | None,
) -> Row:
    span = words.span(difference.low, difference.high)
    return Row(
        (
            TableCell(variant.name),
            TableCell(by.name),
            TableCell(words.points(difference.difference), span),
            TableCell(_cost(variant, base, measure), _called(measure)),
            TableCell(_cost(by, base, measure)),
        )
    )


def costs_less(
    one: VariantSummary, other: VariantSummary, base: VariantSummary, column: SpeedColumn | None
) -> bool:
    """Whether it is decided that one costs less: parameters are counted, speeds have intervals."""
    if column is None:
        known = one.parameters is not None and other.parameters is not None
        return known and (one.parameters or 0.0) < (other.parameters or 0.0)
    mine, theirs = (_times(variant, base, column) for variant in (one, other))
    if mine is None or theirs is None or mine.low is None or theirs.high is None:
        return False
    if any(r.verdict is None and not v.is_baseline for r, v in ((mine, one), (theirs, other))):
        return False  # of one process, whose interval is not about the next one
    return mine.low > theirs.high


def _times(variant: VariantSummary, base: VariantSummary, column: SpeedColumn) -> Ratio | None:
    """How many times as fast as the baseline, which is itself as fast as it is."""
    if variant.is_baseline:
        return Ratio(1.0, 1.0, 1.0)
    return ratio_to(variant.speeds.get(column), base.speeds.get(column))


def _cost(variant: VariantSummary, base: VariantSummary, column: SpeedColumn | None) -> str:
    if column is None:
        return fmt.count(variant.parameters)
    ratio = _times(variant, base, column)
    return fmt.MISSING if ratio is None else fmt.ratio(ratio.ratio, ratio.low, ratio.high)


def _called(column: SpeedColumn | None) -> str:
    return _("parameters") if column is None else _("{mode} images/s", mode=_(column.mode))
