"""The results for a paper: a booktabs table as wide as a column or a page, and a macro for each number."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ablate.errors import OptionError, nearest
from ablate.page import format as fmt
from ablate.page.document import Table
from ablate.report.cost.speeds import SpeedColumn, ratio_to
from ablate.report.results import NOT_CLAIMED
from ablate.report.summary import Summary, VariantSummary
from ablate.stats import Interval, Verdict
from ablate.system.messages.text import printable

Width = Literal["narrow", "wide"]
ESCAPES = {
    "\\": r"\textbackslash{}",
    **{c: "\\" + c for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "{''}",
    "`": r"\textasciigrave{}",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "·": r"$\cdot$",
    "–": "--",
    "…": r"\dots{}",
}
CALLED = {
    "se": "SE", "cbam": "CBAM", "cbam_channel": "CBAM-channel", "cbam_spatial": "CBAM-spatial", "eca": "ECA",
    "bam": "BAM", "gct": "GCT", "simam": "SimAM", "ge": "GE", "srm": "SRM", "sk": "SK", "coord": "CA",
}  # fmt: skip
"""Kinds of attention as papers write them; others stand as they are called here."""

_NAME = re.compile(r"([A-Za-z]\w*)(?:\(([^()]*)\))?")
_OPTION = re.compile(r"([A-Za-z]\w*)\s*=\s*(-?[\w.]+)")
_FOREIGN = re.compile(r"[^\x20-\x7e\u00c0-\u017e]")
"""What pdfTeX's usual fonts lack: more than letters of Latin with their accents."""


@dataclass(frozen=True)
class PaperColumn:
    """A column: its head, and what stands in it for a variant."""

    head: str
    cell: Callable[[VariantSummary, Summary], str]


def escaped(text: str) -> str:
    """Any text as text; a character that pdfTeX's fonts may lack becomes its number."""
    line = printable(" ".join(text.split()))
    told = "".join(ESCAPES.get(character, character) for character in line)
    return _FOREIGN.sub(lambda m: rf"[U+{ord(m[0]):04X}]", told)


def typeset(name: str) -> str:
    r"""`se(pool1, r=16)` → `SE, \texttt{pool1}, $r=16$`; a name of another form is escaped."""
    found = _NAME.fullmatch(name)
    if found is None:
        return escaped(name)
    kind, inside = found.groups()
    parts = [escaped(CALLED.get(kind, kind))]
    for each in (inside or "").split(","):
        if option := _OPTION.fullmatch(each.strip()):
            parts.append(_option(*option.groups()))
        elif each.strip():
            parts.append(_path(each.strip()))
    return ", ".join(parts)


def _option(key: str, value: str) -> str:
    """One letter is a symbol, a word is a word."""
    symbol = key if len(key) == 1 else rf"\mathrm{{{escaped(key)}}}"
    number = value if re.fullmatch(r"-?[\d.]+", value) else rf"\mathrm{{{escaped(value)}}}"
    return f"${symbol}={number}$"


def _path(path: str) -> str:
    """A module's path, which may be broken at its dots and underscores."""
    text = escaped(path).replace(".", r".\allowbreak{}").replace(r"\_", r"\_\allowbreak{}")
    return rf"\texttt{{{text.replace('+', '+' + chr(92) + 'allowbreak{}')}}}"


def _accuracy(variant: VariantSummary, summary: Summary) -> str:
    return _mean(variant.accuracy)


def _mean(found: Interval | None) -> str:
    if found is None:
        return "--"
    half = found.half_width
    mean = f"{100 * found.mean:.2f}"
    return f"${mean}$" if not half else rf"${mean} \pm {100 * half:.2f}$"


def _difference(variant: VariantSummary, summary: Summary) -> str:
    """Bold where the verdict says better, and nowhere else."""
    effect = variant.effect
    if effect is None or effect.difference is None:
        return "--"
    number = f"{100 * effect.difference:+.2f}"
    if summary.leaked or effect.low is None or effect.high is None:
        return f"${number}$"
    better = effect.verdict is Verdict.BETTER
    shown = rf"\mathbf{{{number}}}" if better else number
    return rf"${shown}$ $[{100 * effect.low:+.2f}, {100 * effect.high:+.2f}]$"


def _verdict(variant: VariantSummary, summary: Summary) -> str:
    if variant.effect is None:
        return "baseline" if variant.is_baseline else "--"
    return escaped(NOT_CLAIMED) if summary.leaked else str(variant.effect.verdict)


def _p(variant: VariantSummary, summary: Summary) -> str:
    effect = variant.effect
    if effect is None or effect.p_adjusted is None or summary.leaked:
        return "--"
    return f"${fmt.p_value(effect.p_adjusted)}$"


def _thousands(number: float | None) -> str:
    return "--" if number is None else f"{number:,.0f}".replace(",", r"\,")


def _speed(variant: VariantSummary, summary: Summary, mode: str) -> str:
    column = speed_column(summary, mode)
    own = variant.speeds.get(column) if column else None
    if own is None or column is None:
        return "--"
    ratio = None if variant.is_baseline else ratio_to(own, summary.reference.speeds.get(column))
    times = "" if ratio is None else rf" (${ratio.ratio:.2f}\times$)"
    return f"{fmt.speed(own.images_per_second).replace(',', chr(92) + ',')}{times}"


def speed_column(summary: Summary, mode: str) -> SpeedColumn | None:
    """The condition of a mode of speed that the table of results shows."""
    return next((column for column in summary.main_columns if column.mode == mode), None)


COLUMNS: dict[str, PaperColumn] = {
    "variant": PaperColumn("Variant", lambda v, s: typeset(v.name)),
    "n": PaperColumn("$n$", lambda v, s: str(v.n)),
    "accuracy": PaperColumn(r"{metric} (\%)", _accuracy),
    "difference": PaperColumn(r"$\Delta$ (points)", _difference),
    "p": PaperColumn("Adjusted $p$", _p),
    "verdict": PaperColumn("Verdict", _verdict),
    "parameters": PaperColumn("Parameters", lambda v, s: _thousands(v.parameters)),
    "attention_parameters": PaperColumn(
        "Of attention", lambda v, s: _thousands(v.attention_parameters)
    ),
    "macs": PaperColumn("MACs", lambda v, s: escaped(fmt.macs(v.macs))),
    "images_per_second": PaperColumn("Training images/s", lambda v, s: _speed(v, s, "train")),
    "infer_images_per_second": PaperColumn(
        "Inference images/s", lambda v, s: _speed(v, s, "infer")
    ),
}
"""What `--columns` can name, in the order of a wide table."""

CHOSEN: dict[Width, tuple[str, ...]] = {
    "narrow": ("variant", "accuracy", "difference"),
    "wide": (
        "variant",
        "n",
        "accuracy",
        "difference",
        "verdict",
        "parameters",
        "images_per_second",
    ),
}
NAME_SHARE = {"narrow": 0.3, "wide": 0.22}
"""Of the width, for the names: a long one is set in two lines."""


def paper_columns(given: str | None, width: Width) -> tuple[str, ...]:
    """The columns that are asked for, those of the width without any.

    Raises:
        OptionError: no such column.
    """
    names = tuple(name.strip() for name in (given or "").split(",") if name.strip())
    for name in names:
        if name not in COLUMNS:
            raise OptionError(
                f"--columns: there is no column {name!r}{nearest(name, COLUMNS)}; there are: "
                f"{', '.join(COLUMNS)}"
            )
    return names or CHOSEN[width]


def latex_table(
    summary: Summary, width: Width = "wide", columns: Sequence[str] = CHOSEN["wide"]
) -> str:
    """The table for a paper; it needs only the booktabs package. Of runs from elsewhere it has no column that
    nothing is known for.
    """
    if summary.elsewhere:
        columns = [name for name in columns if _is_known(name, summary)]
    heads = [
        COLUMNS[name].head.replace("{metric}", escaped(summary.judged_by.heading))
        for name in columns
    ]
    line = r"\columnwidth" if width == "narrow" else r"\textwidth"
    kinds = "".join(
        rf">{{\raggedright\arraybackslash}}p{{{NAME_SHARE[width]}{line}}}" if name == "variant"
        else "l" if name == "verdict" else "r" for name in columns
    )  # fmt: skip
    star = "" if width == "narrow" else "*"
    rows = [v for v in summary.variants if not v.same_as]
    body = [_row([COLUMNS[name].cell(v, summary) for name in columns]) for v in rows]
    lines = [
        "% needs \\usepackage{booktabs,array}; conditions of speed and the like are in report.md",
        rf"\begin{{table{star}}}",
        r"\centering",
        r"\footnotesize",
        rf"\setlength{{\tabcolsep}}{{{2 if width == 'narrow' else 4}pt}}",
        rf"\caption{{{_caption(summary, columns)}}}",
        rf"\label{{tab:{_label(summary)}}}",
        rf"\begin{{tabular*}}{{{line}}}{{@{{\extracolsep{{\fill}}}}{kinds}@{{}}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular*}",
        rf"\end{{table{star}}}",
    ]
    return "\n".join(lines) + "\n"


def plain_table(table: Table) -> str:
    """Any table of a report for a paper, as wide as its text is; it needs only the booktabs package."""
    kinds = "".join("r" if column.numeric else "l" for column in table.columns)
    heads = [f"{each.title} ({each.note})" if each.note else each.title for each in table.columns]
    rows = [
        [f"{cell.text} ({cell.note})" if cell.note else cell.text for cell in row.cells]
        for row in table.rows
    ]
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(table.caption)}}}",
        rf"\begin{{tabular}}{{{kinds}}}",
        r"\toprule",
        " & ".join(map(escaped, heads)) + r" \\",
        r"\midrule",
        *(_row([escaped(text) for text in row]) for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    """A row; a bracket or star at its beginning would belong to the end of the row before it."""
    text = " & ".join(cells) + r" \\"
    return text if text[0].isalnum() else "{}" + text


def _is_known(column: str, summary: Summary) -> bool:
    return any(COLUMNS[column].cell(each, summary) != "--" for each in summary.variants)


def _label(summary: Summary) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "-", str(summary.study["name"])).strip("-") or "study"


def _caption(summary: Summary, columns: Sequence[str]) -> str:
    """Words for a reader of the paper: no device strings, no machine's names."""
    counts = sorted({v.n for v in summary.finished})
    runs = (
        f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}" if counts else "no"
    )
    metric = escaped(summary.judged_by.title)
    said = [rf"Test {metric}: mean $\pm$ 95\,\% Student $t$ interval over {runs} seeds."]
    if "difference" in columns and not summary.leaked:
        said.append(
            rf"$\Delta$: difference to {typeset(summary.baseline)} with simultaneous 95\,\% intervals; bold: "
            "better, as that interval excludes 0."
        )
    if summary.elsewhere:
        trainer = summary.elsewhere["trainer"]
        said.append(f"Trained elsewhere{f' by {escaped(trainer)}' if trainer else ''}.")
    if summary.leaked:
        said.append("The schedule saw the test set: no verdict is claimed.")
    if any("images_per_second" in name for name in columns):
        said.append("In brackets: times the baseline's speed.")
    return " ".join(said)


def numbers_tex(summary: Summary) -> str:
    """A macro for each number, so that the text of a paper follows the database."""
    lines = ["% \\input{numbers.tex}: one macro a number; they change with the database."]
    used: set[str] = set()
    for variant in summary.variants:
        if variant.same_as:
            continue
        stem = _macro(variant.name, used)
        lines.append(f"% {escaped(variant.name)}")
        lines += [
            rf"\newcommand{{\{stem}{key}}}{{{value}}}" for key, value in _numbers(variant, summary)
        ]
    return "\n".join(lines) + "\n"


def _numbers(variant: VariantSummary, summary: Summary) -> list[tuple[str, str]]:
    found, effect = variant.accuracy, variant.effect if not summary.leaked else None
    values = {
        "Runs": str(variant.n),
        "Mean": f"{100 * found.mean:.2f}" if found else None,
        "Half": f"{100 * found.half_width:.2f}" if found and found.half_width is not None else None,
        "Difference": f"{100 * effect.difference:+.2f}"
        if effect and effect.difference is not None
        else None,
        "Low": f"{100 * effect.low:+.2f}" if effect and effect.low is not None else None,
        "High": f"{100 * effect.high:+.2f}" if effect and effect.high is not None else None,
        "Verdict": str(effect.verdict) if effect else None,
        "Parameters": _thousands(variant.parameters) if variant.parameters is not None else None,
    }
    return [(key, rf"\ensuremath{{{v}}}" if v[0] in "+-" else v) for key, v in values.items() if v]


def _macro(name: str, used: set[str]) -> str:
    """A command's name, which has letters only: digits are spelled, and no two are equal."""
    digits = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
    spelled = re.sub(r"[0-9]", lambda m: digits[int(m[0])], name.replace("*", "All"))
    words = re.findall(r"[A-Za-z]+", spelled)
    stem = "ablate" + "".join(word[0].upper() + word[1:] for word in words)
    while stem in used:
        stem += "X"
    used.add(stem)
    return stem
