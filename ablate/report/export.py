"""The results by variant for other programs: CSV with raw numbers, and a LaTeX table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from ablate.page.document import Column, Table, TableCell
from ablate.report.results import NOT_CLAIMED
from ablate.report.speeds import SpeedColumn, ratio_to
from ablate.report.summary import Summary, VariantSummary
from ablate.system.text import printable

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
LATEX = {
    "\\": r"\textbackslash{}",
    **{c: "\\" + c for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "·": r"$\cdot$",
    "–": "--",
    "…": r"\dots{}",
}

MODES = ("train", "infer", "eager")
"""What speed is measured of; `eager` is training without recorded steps, where there are those."""

Value = str | float | int | None


def variants_csv(summary: Summary) -> str:
    """One row for each variant; scores, named by their metric, and differences are fractions."""
    return _csv([_csv_row(variant, summary) for variant in summary.variants])


def _csv(rows: Sequence[Mapping[str, Value]]) -> str:
    text = io.StringIO()
    # All text is quoted: a carriage return inside a name must not end the row.
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow([_guarded(key) for key in rows[0]])
    writer.writerows([[_guarded(value) for value in row.values()] for row in rows])
    return text.getvalue()


def contexts_csv(contexts: Sequence[tuple[str, Summary]]) -> str:
    """The rows of every context's variants, its name before them; a column that one lacks is empty there."""
    found = [
        {"context": name, **_csv_row(variant, summary)}
        for name, summary in contexts
        for variant in summary.variants
    ]
    columns = dict.fromkeys(key for row in found for key in row)
    return _csv([{key: row.get(key) for key in columns} for row in found])


def latex_table(table: Table) -> str:
    """The table for a paper; it needs only the booktabs package."""
    kinds = "".join("r" if column.numeric else "l" for column in table.columns)
    body = "\n".join(_latex_row(row.cells) for row in table.rows)
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_latex(table.caption)}}}",
        rf"\begin{{tabular}}{{{kinds}}}",
        r"\toprule",
        " & ".join(_latex_head(column) for column in table.columns) + r" \\",
        r"\midrule",
        body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _csv_row(variant: VariantSummary, summary: Summary) -> dict[str, Value]:
    score, effect = variant.accuracy, variant.effect
    claimed = effect if not summary.leaked else None
    row: dict[str, Value] = {
        "variant": variant.name,
        "same_as": variant.same_as,
        "baseline": int(variant.is_baseline),
        "planned": variant.planned,
        "finished": variant.n,
        "failed": variant.failed,
        "metric": summary.metric,
        f"test_{summary.metric}_mean": score.mean if score else None,
        f"test_{summary.metric}_sd": score.sd if score else None,
        f"test_{summary.metric}_low": score.low if score else None,
        f"test_{summary.metric}_high": score.high if score else None,
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


def _guarded(value: Value) -> Value:
    """Text that a spreadsheet would take for a formula gets a quote before it; numbers stay."""
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return "'" + value
    return value


def _latex(text: str) -> str:
    return "".join(
        LATEX.get(character, character) for character in printable(" ".join(text.split()))
    )


def _latex_head(column: Column) -> str:
    return _latex(f"{column.title} ({column.note})" if column.note else column.title)


def _latex_row(cells: tuple[TableCell, ...]) -> str:
    texts = [f"{cell.text} ({cell.note})" if cell.note else cell.text for cell in cells]
    return " & ".join(map(_latex, texts)) + r" \\"
