"""What each of several studies is: the last section of their report."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.page import format as fmt
from ablate.page.document import Block, Column, Note, Row, Table, TableCell
from ablate.report.contexts import InContext
from ablate.report.parts import (
    facts_of,
    finished,
    run_keys,
)
from ablate.system.text import plural


def shared_runs(parts: Sequence[InContext]) -> tuple[Block, ...]:
    named = sum(len(run_keys(part.summary)) for part in parts)
    left = named - len(finished(parts))
    if not left:
        return ()
    text = f"{plural(left, 'finished run')} stand in more than one of these studies and are counted once."
    return (Note(text),)


def studies_table(parts: Sequence[InContext]) -> Table:
    """What each study is, how well its baseline does, how far it has come and on what it was trained."""
    columns = tuple(
        Column(*head)
        for head in (
            ("Study", "", False), ("Data set", "its content", False), ("Network", "", False),
            ("Setting", "", False), ("Baseline", "", False), ("Its score", "test, %, mean ± 95 %"),
            ("Runs", "finished of planned"), ("Trained on", "", False), ("Verdicts", "", False),
        )
    )  # fmt: skip
    return Table("Each study as it is in its own report.", columns, tuple(map(_study_row, parts)))


def _study_row(part: InContext) -> Row:
    summary, facts = part.summary, facts_of(part.summary, part.dataset_hash)
    done, planned = len(run_keys(summary)), sum(v.planned for v in summary.variants)
    machines = "; ".join(f"{place} ({plural(n, 'run')})" for place, n in summary.trained_on.items())
    texts = (
        part.name, facts["data set"], facts["backbone"], str(summary.study.get("setting") or "")[:8],
        summary.baseline, fmt.accuracy(summary.reference.accuracy), f"{done:,} of {planned:,}",
        machines or "not known", summary.exploratory or ("not claimed" if summary.leaked else "claimed"),
    )  # fmt: skip
    return Row(tuple(map(TableCell, texts)))
