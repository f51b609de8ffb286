"""What each of several studies is: the last section of their report."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.page import format as fmt
from ablate.page.document import Block, Column, Note, Row, Table, TableCell
from ablate.report.effects.contexts import InContext
from ablate.report.several.parts import (
    facts_of,
    finished,
    run_keys,
)
from ablate.system.messages.language import N_, _, amount, retold

COLUMNS = (
    (N_("Study"), "", False), (N_("Data set"), N_("its content"), False), (N_("Network"), "", False),
    (N_("Setting"), "", False), (N_("Baseline"), "", False),
    (N_("Its score"), N_("test, %, mean ± 95 %"), True),
    (N_("Runs"), N_("finished of planned"), True), (N_("Trained on"), "", False), (N_("Verdicts"), "", False),
)  # fmt: skip


def shared_runs(parts: Sequence[InContext]) -> tuple[Block, ...]:
    named = sum(len(run_keys(part.summary)) for part in parts)
    left = named - len(finished(parts))
    if not left:
        return ()
    text = _(
        "{runs} stand in more than one of these studies and are counted once.",
        runs=amount(left, "finished run"),
    )
    return (Note(text),)


def studies_table(parts: Sequence[InContext]) -> Table:
    """What each study is, how well its baseline does, how far it has come and on what it was trained."""
    columns = tuple(Column(_(head), note and _(note), numeric) for head, note, numeric in COLUMNS)
    rows = tuple(map(_study_row, parts))
    return Table(_("Each study as it is in its own report."), columns, rows)


def _study_row(part: InContext) -> Row:
    summary, facts = part.summary, facts_of(part.summary, part.dataset_hash)
    done, planned = len(run_keys(summary)), sum(v.planned for v in summary.variants)
    machines = "; ".join(f"{place} ({amount(n, 'run')})" for place, n in summary.trained_on.items())
    texts = (
        part.name, facts["data set"], facts["backbone"], str(summary.study.get("setting") or "")[:8],
        summary.baseline, fmt.accuracy(summary.reference.accuracy),
        _("{n:,} of {total:,}", n=done, total=planned),
        machines or _("not known"),
        retold(summary.exploratory or "") or (_("not claimed") if summary.leaked else _("claimed")),
    )  # fmt: skip
    return Row(tuple(map(TableCell, texts)))
