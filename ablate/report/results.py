"""The table of results by variant, and how complete the study is."""

from __future__ import annotations

from ablate.page import format as fmt
from ablate.page.document import Bar, BarPart, Column, Row, Table, TableCell
from ablate.report.speeds import SpeedColumn, apart, ratio_to
from ablate.report.summary import Summary, VariantSummary
from ablate.result import RunStatus
from ablate.stats import words
from ablate.stats.words import could_see
from ablate.system.text import plural

NOT_CLAIMED = "not claimed (test-leaked)"


def results_table(summary: Summary) -> Table:
    """One row for each variant in grid order: accuracy, effect, size and speed."""
    columns = (
        Column("Variant", numeric=False),
        Column("n", "finished runs"),
        Column(summary.judged_by.heading, "test, %, mean ± 95 %"),
        Column("Difference", "points, 95 % interval"),
        Column("Adjusted p", "for all variants"),
        Column("Verdict", numeric=False),
        Column("Parameters"),
        Column("Attention", "of parameters"),
        Column("MACs", "per image"),
        *(Column(column.title, "× the baseline's") for column in summary.main_columns),
    )
    told = (
        " Test-leaked: the schedule saw the test set, so differences have no interval and no verdict."
        if summary.leaked
        else " The intervals of the differences hold together, and the verdict is read off them."
    )
    speed = f" Speed: {summary.main_columns[0].conditions}." if summary.main_columns else ""
    if len(summary.main_columns) < len(summary.speed_columns):
        speed += " Speed was measured under other conditions as well: see the tables of cost."
    caption = (
        f"Every variant in the order of the grid; differences are to the baseline "
        f"{summary.baseline}. The ± is Student t over seeds.{told}{speed}"
    )
    return Table(caption, columns, tuple(_result_row(v, summary) for v in summary.variants))


def _result_row(variant: VariantSummary, summary: Summary) -> Row:
    if variant.same_as:
        note = f"same network as {variant.same_as}"
        blanks = [TableCell(fmt.MISSING)] * (8 + len(summary.main_columns))
        return Row((TableCell(variant.name, note), *blanks))
    cells = (
        TableCell(variant.name, "baseline" if variant.is_baseline else ""),
        TableCell(fmt.count(variant.n), run_note(variant)),
        TableCell(fmt.accuracy(variant.accuracy)),
        *_effect_cells(variant, summary),
        TableCell(fmt.count(variant.parameters)),
        TableCell(fmt.percent(variant.attention_share)),
        TableCell(fmt.macs(variant.macs)),
        *(_speed_cell(variant, summary.reference, column) for column in summary.main_columns),
    )
    return Row(cells, marked=variant.is_baseline)


def run_note(variant: VariantSummary) -> str:
    """What `n` hides: failed, missing and additional runs, and those whose attention did not learn."""
    missing = variant.planned - variant.n - variant.failed
    notes = [
        f"attention unmoved in {variant.unmoved}" if variant.unmoved else "",
        f"{variant.failed} failed" if variant.failed else "",
        f"{missing} missing" if missing > 0 else "",
        f"{-missing} more than planned" if missing < 0 else "",
    ]
    return ", ".join(note for note in notes if note)


def _effect_cells(
    variant: VariantSummary, summary: Summary
) -> tuple[TableCell, TableCell, TableCell]:
    """Difference, adjusted p and verdict; a test-leaked study shows the bare difference only."""
    effect = variant.effect
    if effect is None:
        return (TableCell(fmt.MISSING),) * 2 + (TableCell("baseline"),)
    if summary.leaked:
        bare = TableCell(words.points(effect.difference))
        return bare, TableCell(fmt.MISSING), TableCell(NOT_CLAIMED, tone="warning")
    note = "" if effect.decided else could_see(effect)
    return (
        TableCell(words.points(effect.difference), words.span(effect.low, effect.high)),
        TableCell(fmt.p_value(effect.p_adjusted)),
        TableCell(effect.verdict, note, effect.verdict),
    )


def _speed_cell(variant: VariantSummary, base: VariantSummary, column: SpeedColumn) -> TableCell:
    own = variant.speeds.get(column)
    if own is None:
        return TableCell(fmt.MISSING)
    reference = base.speeds.get(column)
    ratio = None if variant.is_baseline else ratio_to(own, reference)
    if ratio is None:
        return TableCell(fmt.speed(own.images_per_second))
    notes = [fmt.ratio(ratio.ratio, ratio.low, ratio.high), apart(own, reference, ratio)]
    return TableCell(fmt.speed(own.images_per_second), "; ".join(note for note in notes if note))


def _planned(variant: VariantSummary, summary: Summary) -> int:
    """The runs of a variant: those that its study declares, and those with seeds beyond, as a search has."""
    seeds = summary.runs.loc[summary.runs["variant"] == variant.name, "seed"]
    declared = variant.name in summary.study["variants"] and not summary.any_time
    beyond = int((seeds > variant.planned).sum()) if declared else 0
    return max(variant.planned + beyond, variant.n + variant.failed)


def completeness(summary: Summary) -> Bar:
    """How many of the planned runs are finished, failed, under way, stopped or missing."""
    planned = sum(_planned(v, summary) for v in summary.variants)
    status = summary.runs["status"].value_counts()
    counts = {
        "finished": sum(v.n for v in summary.variants),
        "failed": sum(v.failed for v in summary.variants),
        "running": int(status.get(RunStatus.RUNNING, 0)),
        "stopped": int(status.get(RunStatus.STOPPED, 0)),
    }
    counts["missing"] = max(0, planned - sum(counts.values()))
    told = [f"{number:,} {name}" for name, number in counts.items() if number or name != "running"]
    told = [text for text in told if text != "0 stopped"]
    parts = tuple(
        BarPart(name, number, round(100 * number / planned, 2) if planned else 0.0)
        for name, number in counts.items()
        if number
    )
    return Bar(f"{plural(planned, 'run')} planned: {', '.join(told)}.", parts)
