"""The table of results by variant, and how complete the study is."""

from __future__ import annotations

from ablate.report import format as fmt
from ablate.report.document import Bar, Cell, Column, Part, Row, Table
from ablate.report.speeds import SpeedColumn, ratio_to
from ablate.report.summary import Summary, VariantSummary

NOT_CLAIMED = "not claimed (test-leaked)"


def results_table(summary: Summary) -> Table:
    """One row for each variant in grid order: accuracy, effect, size and speed."""
    columns = (
        Column("Variant", numeric=False),
        Column("n", "finished runs"),
        Column("Accuracy", "test, %, mean ± 95 %"),
        Column("Difference", "points, 95 % interval"),
        Column("Adjusted p", "Welch + Holm"),
        Column("Verdict", numeric=False),
        Column("Parameters"),
        Column("Attention", "of parameters"),
        Column("MACs", "per image"),
        *(Column(column.title, "× the baseline's") for column in summary.main_columns),
    )
    leak = " Test-leaked: the schedule saw the test set." if summary.leaked else ""
    speed = f" Speed: {summary.main_columns[0].conditions}." if summary.main_columns else ""
    if len(summary.main_columns) < len(summary.speed_columns):
        speed += " Speed was measured under other conditions as well: see the tables of cost."
    caption = (
        f"Every variant in the order of the grid; differences are to the baseline "
        f"{summary.baseline}. The ± and the intervals are Student t over seeds, not adjusted; "
        f"p is.{leak}{speed}"
    )
    return Table(caption, columns, tuple(_result_row(v, summary) for v in summary.variants))


def _result_row(variant: VariantSummary, summary: Summary) -> Row:
    if variant.same_as:
        note = f"same network as {variant.same_as}"
        blanks = [Cell(fmt.MISSING)] * (8 + len(summary.main_columns))
        return Row((Cell(variant.name, note), *blanks))
    cells = (
        Cell(variant.name, "baseline" if variant.is_baseline else ""),
        Cell(fmt.count(variant.n), run_note(variant)),
        Cell(fmt.accuracy(variant.accuracy)),
        *_effect_cells(variant, summary),
        Cell(fmt.count(variant.parameters)),
        Cell(fmt.percent(variant.attention_share)),
        Cell(fmt.macs(variant.macs)),
        *(_speed_cell(variant, summary.reference, column) for column in summary.main_columns),
    )
    return Row(cells, marked=variant.is_baseline)


def run_note(variant: VariantSummary) -> str:
    """What `n` hides: failed, missing and additional runs."""
    missing = variant.planned - variant.n - variant.failed
    notes = [
        f"{variant.failed} failed" if variant.failed else "",
        f"{missing} missing" if missing > 0 else "",
        f"{-missing} more than planned" if missing < 0 else "",
    ]
    return ", ".join(note for note in notes if note)


def _effect_cells(variant: VariantSummary, summary: Summary) -> tuple[Cell, Cell, Cell]:
    """Difference, adjusted p and verdict; a test-leaked study shows the bare difference only."""
    effect = variant.effect
    if effect is None:
        return (Cell(fmt.MISSING),) * 2 + (Cell("baseline"),)
    if summary.leaked:
        bare = Cell(fmt.points(effect.difference))
        return bare, Cell(fmt.MISSING), Cell(NOT_CLAIMED, tone="warning")
    could = effect.smallest_detectable
    # Two seeds each and still nothing to see: every run of both got the same number of images right.
    without = "all runs equal" if min(effect.n, effect.n_baseline) > 1 else "too few runs to test"
    note = f"could see ≥ {fmt.size(could)}" if could is not None else without
    return (
        Cell(fmt.points(effect.difference), fmt.span(effect.low, effect.high)),
        Cell(fmt.p_value(effect.p_adjusted)),
        Cell(effect.verdict, note, effect.verdict),
    )


def _speed_cell(variant: VariantSummary, base: VariantSummary, column: SpeedColumn) -> Cell:
    own = variant.speeds.get(column)
    if own is None:
        return Cell(fmt.MISSING)
    ratio = None if variant.is_baseline else ratio_to(own, base.speeds.get(column))
    if ratio is None:
        return Cell(fmt.speed(own.images_per_second))
    return Cell(fmt.speed(own.images_per_second), fmt.ratio(ratio.ratio, ratio.low, ratio.high))


def completeness(summary: Summary) -> Bar:
    """How many of the planned runs are finished, failed, under way, stopped or missing."""
    planned = sum(max(v.planned, v.n + v.failed) for v in summary.variants)
    status = summary.runs["status"].value_counts()
    counts = {
        "finished": sum(v.n for v in summary.variants),
        "failed": sum(v.failed for v in summary.variants),
        "running": int(status.get("running", 0)),
        "stopped": int(status.get("stopped", 0)),
    }
    counts["missing"] = max(0, planned - sum(counts.values()))
    told = [f"{number:,} {name}" for name, number in counts.items() if number or name != "running"]
    told = [text for text in told if text != "0 stopped"]
    parts = tuple(
        Part(name, number, round(100 * number / planned, 2) if planned else 0.0)
        for name, number in counts.items()
        if number
    )
    return Bar(f"{fmt.plural(planned, 'run')} planned: {', '.join(told)}.", parts)
