"""One report over several studies: what may be compared, where each effect holds, and what it costs where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ablate.page.document import (
    Block,
    Document,
    Finding,
    Findings,
    Note,
    Section,
    Tone,
)
from ablate.report.effects.contexts import (
    HOLDS,
    InContext,
    dependence,
    variants_of,
    verdicts_of,
    where_table,
)
from ablate.report.effects.forests import over_both
from ablate.report.files.numbers import report_numbers
from ablate.report.several.compared import compared_blocks
from ablate.report.several.costs import cost_tables
from ablate.report.several.parts import (
    Group,
    differences,
    differing,
    finished,
    groups_of,
    listed,
)
from ablate.report.several.studies import shared_runs, studies_table
from ablate.stats import Verdict
from ablate.system.messages.language import ENGLISH, _, amount, retold, spoken

FIGURE = "effects"
MOST_FINDINGS = 12


def compose_several(parts: Sequence[InContext]) -> Document:
    """The page over several studies."""
    groups = groups_of(parts)
    sections = (
        Section("compared", _("What may be compared"), compared_blocks(groups)),
        Section("holds", _("Does it hold in all?"), _holding(parts)),
        *(_section(number, group, groups[0]) for number, group in enumerate(groups, 1)),
        Section("effects", _("Effects"), over_both(FIGURE, parts, "study")),
        Section("depends", _("What it depends on"), _depends(groups)),
        Section("cost", _("What it costs"), cost_tables(parts)),
        Section("studies", _("The studies"), (studies_table(parts), *shared_runs(parts))),
    )
    return Document(
        title=listed([part.name for part in parts]),
        question="",
        facts=(
            (_("Studies"), f"{len(parts):,}"),
            (_("Data sets"), f"{len({part.dataset_hash for part in parts}):,}"),
            (_("Variants"), _("{n:,} and their baselines", n=len(variants_of(parts)))),
            (_("Finished runs"), _("{n:,}, each counted once", n=len(finished(parts)))),
        ),
        banner="",
        sections=tuple(section for section in sections if section.blocks),
        eyebrow=_("Ablation report over several studies"),
    )


def several_numbers(parts: Sequence[InContext]) -> dict[str, Any]:
    """What report.json has: groups that may be compared, verdicts by variant, and each study as in its own
    report.
    """
    with spoken(ENGLISH):
        return _numbers(parts, groups_of(parts))


def _numbers(parts: Sequence[InContext], groups: Sequence[Group]) -> dict[str, Any]:
    number_of = {part.name: i for i, group in enumerate(groups, 1) for part in group.parts}
    return {
        "groups": [
            {
                "group": i,
                "studies": [part.name for part in group.parts],
                "differs": differences(groups[0].facts, group.facts) or None,
            }
            for i, group in enumerate(groups, 1)
        ],
        "finished_runs": len(finished(parts)),
        "holds": [
            {"variant": name, "studies": len(found), **{str(v): counts[v] for v in HOLDS}}
            for name in variants_of(parts)
            for found in [verdicts_of(name, parts)]
            for counts in [Counter(found.values())]
        ],
        "studies": [
            {
                "called": part.name,
                "group": number_of[part.name],
                "counted_elsewhere": dict(part.elsewhere),
                **report_numbers(part.summary),
            }
            for part in parts
        ],
    }


def _section(number: int, group: Group, first: Group) -> Section:
    together = len(group.parts) > 1
    title = _("Side by side: {studies}", studies=group.title) if together else group.title
    differs = differences(first.facts, group.facts)
    said = _("To {studies}: {differs}.", studies=first.title, differs=differs)
    told = (Note(said),) if differs else ()
    return Section(f"group-{number}", title, (*told, where_table(group.parts, "study")))


def _holding(parts: Sequence[InContext]) -> tuple[Block, ...]:
    """One sentence for each variant; no statistic over studies is made."""
    judged = [name for name in variants_of(parts) if verdicts_of(name, parts)]
    names = sorted(
        judged, key=lambda name: -len(verdicts_of(name, parts))
    )  # those of most studies first
    items = tuple(_sentence(name, parts) for name in names)
    if not items:
        return (Note(_("No variant can be judged in any of the studies yet.")),)
    told = Note(
        _(
            "Verdicts are counted, not pooled: each stands on the runs of its own study, and runs that "
            "several studies name are counted once. In several studies something that is not there is "
            "found somewhere more often than in one of twenty."
        )
    )
    first, rest = items[:MOST_FINDINGS], items[MOST_FINDINGS:]
    folded = Findings(rest, amount(len(rest), "more variant")) if rest else None
    return (Findings(first), *((folded,) if folded else ()), told)


def _sentence(name: str, parts: Sequence[InContext]) -> Finding:
    """`se(pool3): better in 2 of 3, undecided in 1.`, and where."""
    found = verdicts_of(name, parts)
    counts = Counter(found.values())
    where = [
        f"{_(verdict)}: {'; '.join(each for each, own in found.items() if own is verdict)}"
        for verdict in HOLDS
        if counts[verdict]
    ]
    twice = [
        _("{study} has {runs}", study=part.name, runs=retold(part.elsewhere[name]))
        for part in parts
        if name in part.elsewhere
    ]
    without = [part.name for part in parts if part.of(name) is None]
    beyond = [_("not in {studies}", studies=listed(without))] if without else []
    evidence = " ".join(_("{told}.", told=text) for text in (*where, *twice, *beyond))
    claim = _("{name}: {verdicts}.", name=name, verdicts=_counted(counts))
    return Finding(claim, evidence, _tone(set(found.values())))


def _counted(counts: Counter[Verdict]) -> str:
    """`better in 2 of 3, undecided in 1`."""
    (first, *others) = [verdict for verdict in HOLDS if counts[verdict]]
    if counts.total() == 1:
        return _("{verdict} in the one study that judges it", verdict=_(first))
    told = _("{verdict} in {n} of {total}", verdict=_(first), n=counts[first], total=counts.total())
    more = [_("{verdict} in {n}", verdict=_(other), n=counts[other]) for other in others]
    return _(", ").join([told, *more])


def _tone(found: set[Verdict]) -> Tone:
    return next(iter(found)) if len(found) == 1 else Verdict.UNDECIDED


def _depends(groups: Sequence[Group]) -> tuple[Block, ...]:
    """Differences of differences, where no two studies are of one kind and all saw the same images."""
    if len(groups) < 2 or any(len(group.parts) > 1 for group in groups):
        return ()
    if len({group.parts[0].dataset_hash for group in groups}) > 1:
        return ()
    keys = differing(*(group.facts for group in groups))
    named = [
        replace(group.parts[0], context=tuple((key, group.facts[key]) for key in keys))
        for group in groups
    ]
    return dependence(named)
