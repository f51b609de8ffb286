"""The results for other programs: by variant as raw numbers, and every table of the report as it reads."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.page.data import csv_text
from ablate.page.document import Column, Document, Table, TableCell, Value
from ablate.report.cost.speeds import SpeedColumn, ratio_to
from ablate.report.results import NOT_CLAIMED
from ablate.report.summary import Summary, VariantSummary
from ablate.study.own_metrics import column_name

MODES = ("train", "infer", "eager")
"""What speed is measured of; `eager` is training without recorded steps, where there are those."""


def variants_csv(summary: Summary) -> str:
    """One row for each variant; scores, named by their metric, and differences are fractions."""
    return csv_text(variant_records(summary))


def variant_records(summary: Summary) -> list[dict[str, Value]]:
    """The same as values."""
    return [_csv_row(variant, summary) for variant in summary.variants]


def over_csv(column: str, each: Sequence[tuple[str, Summary]]) -> str:
    """The rows of every context's or study's variants, its name before them in this column; a column that one
    lacks is empty there.
    """
    found = [
        {column: name, **_csv_row(variant, summary)}
        for name, summary in each
        for variant in summary.variants
    ]
    columns = dict.fromkeys(key for row in found for key in row)
    return csv_text([{key: row.get(key) for key in columns} for row in found])


def tables_csv(document: Document) -> dict[str, bytes]:
    """Every table of a report as text, by the path inside its folder: what a reader sees, a row for each."""
    found = {}
    for section in document.sections:
        tables = [block for block in section.blocks if isinstance(block, Table)]
        for number, table in enumerate(tables, 1):
            name = section.name if len(tables) == 1 else f"{section.name}-{number}"
            found[f"tables/{name}.csv"] = csv_text(_records(table)).encode("utf-8")
    return {name: content for name, content in found.items() if content}


def _records(table: Table) -> list[dict[str, Value]]:
    return [_record(table.columns, row.cells) for row in table.every or table.rows]


def _record(columns: Sequence[Column], cells: Sequence[TableCell]) -> dict[str, Value]:
    """A column for the values, and one behind it for their notes where the column has a note."""
    record: dict[str, Value] = {}
    for column, cell in zip(columns, cells, strict=True):
        title = column.title if column.title not in record else f"{column.title} ({column.note})"
        record[title] = cell.text
        if column.note:
            record[f"{title}: {column.note}"] = cell.note
    return record


def _csv_row(variant: VariantSummary, summary: Summary) -> dict[str, Value]:
    score, effect = variant.accuracy, variant.effect
    claimed = effect if not summary.leaked else None
    metric = column_name(summary.metric)
    row: dict[str, Value] = {
        "variant": variant.name,
        "same_as": variant.same_as,
        "baseline": int(variant.is_baseline),
        "planned": variant.planned,
        "finished": variant.n,
        "failed": variant.failed,
        "metric": summary.metric,
        f"test_{metric}_mean": score.mean if score else None,
        f"test_{metric}_sd": score.sd if score else None,
        f"test_{metric}_low": score.low if score else None,
        f"test_{metric}_high": score.high if score else None,
        "difference": effect.difference if effect else None,
        "difference_low": claimed.low if claimed else None,
        "difference_high": claimed.high if claimed else None,
        "p_adjusted": claimed.p_adjusted if claimed else None,
        "smallest_detectable": claimed.smallest_detectable if claimed else None,
        "rule": claimed.rule if claimed else None,
        "verdict": claimed.verdict if claimed else NOT_CLAIMED if effect else None,
        "parameters": _whole(variant.parameters),
        "attention_parameters": _whole(variant.attention_parameters),
        "macs": _whole(variant.macs),
    }
    for mode in MODES:
        measured = [column for column in summary.speed_columns if column.mode == mode]
        for number, column in enumerate(measured or [None], 1):
            row |= _speed_values(mode, column, variant, summary.reference, number)
    return row


def _speed_values(
    mode: str,
    column: SpeedColumn | None,
    variant: VariantSummary,
    base: VariantSummary,
    number: int,
) -> dict[str, Value]:
    """The speed of a variant under one condition, and its ratio to the baseline with the interval. Names of
    columns are the same on every machine, measured or not: which conditions they are of is a value.
    """
    speed = variant.speeds.get(column) if column else None
    compared = not variant.is_baseline
    found = ratio_to(speed, base.speeds.get(column)) if column and compared else None
    values: dict[str, Value] = {
        "conditions": column.conditions if column else None,
        "images_per_second": speed.images_per_second if speed else None,
        "ratio": found.ratio if found else None,
        "ratio_low": found.low if found else None,
        "ratio_high": found.high if found else None,
        "ratio_detectable": found.detectable if found else None,
        "ratio_verdict": found.verdict if found else None,
    }
    behind = "" if number == 1 else f"_{number}"
    return {f"{mode}_{name}{behind}": value for name, value in values.items()}


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)
