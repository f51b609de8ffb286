"""Every variant against the controls that a study names, its second baselines."""

from __future__ import annotations

from ablate.page import format as fmt
from ablate.page.document import Block, Column, Finding, Findings, Note, Row, Table, TableCell
from ablate.report.arms import BARE
from ablate.report.results import NOT_CLAIMED
from ablate.report.summary import Summary
from ablate.stats import Effect, words
from ablate.stats.controls import (
    AgainstControl,
    against_controls,
    control_claim,
    variant_claims,
)
from ablate.study.controls import controls_in, unmatched
from ablate.system.messages.language import _


def control_blocks(summary: Summary) -> tuple[Block, ...]:
    """A sentence for each control, one for each variant that it says something of, and a table."""
    patterns = list(summary.study.get("controls") or ())
    if not patterns:
        return ()
    own = {v.name: v.effect for v in summary.tested if v.effect is not None}
    known = [v.name for v in summary.variants if not v.is_baseline]
    called = {v.name: v.same_as or v.name for v in summary.variants}
    chosen = list(dict.fromkeys(called[name] for name in controls_in(patterns, known)))
    controls = [name for name in chosen if name in own]
    found = against_controls(summary.samples, controls, own, summary.margin, looks=summary.any_time)
    nothing = tuple(
        Note(_("The control {pattern} names no variant of this study.", pattern=pattern), "warning")
        for pattern in unmatched(patterns, known)
    )
    if summary.leaked:
        return (*nothing, Note(_(BARE), "warning"), *(_table(each, summary) for each in found))
    said = tuple(Findings(_findings(each, own)) for each in found)
    tables = tuple(_table(each, summary) for each in found)
    return (*nothing, *(block for pair in zip(said, tables, strict=True) for block in pair))


def _findings(found: AgainstControl, own: dict[str, Effect]) -> tuple[Finding, ...]:
    evidence = _(
        "{itself} This is the interval of the study's own family of variants.",
        itself=words.evidence(found.itself),
    )
    first = Finding(control_claim(found), evidence, found.itself.verdict)
    pointer = _("The table below has every interval; they hold together for this control.")
    rest = tuple(Finding(text, pointer, tone) for text, tone in variant_claims(found, own))
    return (first, *rest)


def _table(found: AgainstControl, summary: Summary) -> Table:
    rows = tuple(_row(name, effect, summary) for name, effect in found.others.items())
    columns = (
        Column(_("Variant"), numeric=False),
        Column("n", _("and that of the control")),
        Column(_("Difference"), _("to {control}, points", control=found.control)),
        Column(_("Verdict"), _("against {control}", control=found.control), numeric=False),
    )
    held = (
        ""
        if summary.leaked
        else _(" Its simultaneous 95 % intervals hold together for this table.")
    )
    return Table(
        _("Against the control {control}.{held}", control=found.control, held=held), columns, rows
    )


def _row(name: str, effect: Effect, summary: Summary) -> Row:
    counts = TableCell(f"{fmt.count(effect.n)} / {fmt.count(effect.n_baseline)}")
    bare = TableCell(words.points(effect.difference))
    if summary.leaked:
        return Row((TableCell(name), counts, bare, TableCell(_(NOT_CLAIMED), tone="warning")))
    difference = TableCell(bare.text, words.span(effect.low, effect.high))
    note = "" if effect.decided else words.could_see(effect)
    return Row(
        (TableCell(name), counts, difference, TableCell(_(effect.verdict), note, effect.verdict))
    )
