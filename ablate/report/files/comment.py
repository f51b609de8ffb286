"""A report in a few lines, for a pull request: the answer and the variants that are decided."""

from __future__ import annotations

from dataclasses import replace

from ablate.page.document import Block, Document, Section, Table
from ablate.page.html import markdown
from ablate.report.answer import answer
from ablate.report.elsewhere import head
from ablate.report.results import results_table
from ablate.report.seen.images import doubts
from ablate.report.summary import Summary, VariantSummary
from ablate.system.messages.language import N_, _

MOST_ROWS = 12
SHOWN = (N_("Variant"), "n", N_("Difference"), N_("Verdict"))
"""Columns of the table of results, besides that of the metric."""


def comment(summary: Summary) -> str:
    """GitHub Markdown without a figure."""
    blocks: tuple[Block, ...] = (*answer(summary), *doubts(summary), short_table(summary))
    study = summary.study
    return markdown(
        Document(
            title=str(study["name"]),
            question=str(study.get("question") or ""),
            facts=(
                (_("Dataset"), str(study.get("dataset") or "–")),
                (_("Baseline"), summary.baseline),
            ),
            banner=head(summary),
            sections=(Section("findings", _("The answer"), blocks),),
        )
    )


def short_table(summary: Summary) -> Table:
    """The baseline, then the largest differences, as many as fit."""
    whole = results_table(summary)
    wanted = (*map(_, SHOWN), summary.judged_by.heading)
    at = [i for i, column in enumerate(whole.columns) if column.title in wanted]
    ranked = sorted(
        zip(summary.variants, whole.rows, strict=True),
        key=lambda pair: (not pair[0].is_baseline, -abs(_difference(pair[0]))),
    )
    shown = [row for variant, row in ranked if not variant.same_as][:MOST_ROWS]
    left = sum(not v.same_as for v in summary.variants) - len(shown)
    caption = _("The largest differences first.") + (
        _(" {left} more variants are in the report.", left=left) if left else ""
    )
    rows = tuple(replace(row, cells=tuple(row.cells[i] for i in at)) for row in shown)
    return Table(caption, tuple(whole.columns[i] for i in at), rows)


def _difference(variant: VariantSummary) -> float:
    return (variant.effect.difference or 0.0) if variant.effect else 0.0
