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
from ablate.report.contexts import (
    HOLDS,
    InContext,
    dependence,
    variants_of,
    verdicts_of,
    where_table,
)
from ablate.report.forests import over_both
from ablate.report.numbers import report_numbers
from ablate.report.parts import (
    Group,
    differences,
    differing,
    finished,
    groups_of,
    listed,
)
from ablate.report.several_compared import compared_blocks
from ablate.report.several_costs import cost_tables
from ablate.report.several_studies import shared_runs, studies_table
from ablate.stats import Verdict
from ablate.system.text import plural

FIGURE = "effects"
MOST_FINDINGS = 12


def compose_several(parts: Sequence[InContext]) -> Document:
    """The page over several studies."""
    groups = groups_of(parts)
    sections = (
        Section("compared", "What may be compared", compared_blocks(groups)),
        Section("holds", "Does it hold in all?", _holding(parts)),
        *(_section(number, group, groups[0]) for number, group in enumerate(groups, 1)),
        Section("effects", "Effects", over_both(FIGURE, parts, "study")),
        Section("depends", "What it depends on", _depends(groups)),
        Section("cost", "What it costs", cost_tables(parts)),
        Section("studies", "The studies", (studies_table(parts), *shared_runs(parts))),
    )
    return Document(
        title=listed([part.name for part in parts]),
        question="",
        facts=(
            ("Studies", f"{len(parts):,}"),
            ("Data sets", f"{len({part.dataset_hash for part in parts}):,}"),
            ("Variants", f"{len(variants_of(parts)):,} and their baselines"),
            ("Finished runs", f"{len(finished(parts)):,}, each counted once"),
        ),
        banner="",
        sections=tuple(section for section in sections if section.blocks),
        eyebrow="Ablation report over several studies",
    )


def several_numbers(parts: Sequence[InContext]) -> dict[str, Any]:
    """What report.json has: groups that may be compared, verdicts by variant, and each study as in its own
    report.
    """
    groups = groups_of(parts)
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
    title = f"Side by side: {group.title}" if len(group.parts) > 1 else group.title
    differs = differences(first.facts, group.facts)
    told = (Note(f"To {first.title}: {differs}."),) if differs else ()
    return Section(f"group-{number}", title, (*told, where_table(group.parts, "study")))


def _holding(parts: Sequence[InContext]) -> tuple[Block, ...]:
    """One sentence for each variant; no statistic over studies is made."""
    judged = [name for name in variants_of(parts) if verdicts_of(name, parts)]
    names = sorted(
        judged, key=lambda name: -len(verdicts_of(name, parts))
    )  # those of most studies first
    items = tuple(_sentence(name, parts) for name in names)
    if not items:
        return (Note("No variant can be judged in any of the studies yet."),)
    told = Note(
        "Verdicts are counted, not pooled: each stands on the runs of its own study, and runs that several "
        "studies name are counted once. In several studies something that is not there is found somewhere "
        "more often than in one of twenty."
    )
    first, rest = items[:MOST_FINDINGS], items[MOST_FINDINGS:]
    folded = Findings(rest, f"{plural(len(rest), 'more variant')}") if rest else None
    return (Findings(first), *((folded,) if folded else ()), told)


def _sentence(name: str, parts: Sequence[InContext]) -> Finding:
    """`se(pool3): better in 2 of 3, undecided in 1.`, and where."""
    found = verdicts_of(name, parts)
    counts = Counter(found.values())
    of = f" of {len(found)}"
    said = [f"{verdict} in {counts[verdict]}" for verdict in HOLDS if counts[verdict]]
    alone = f"{next(iter(counts))} in the one study that judges it"
    claim = f"{name}: {', '.join([said[0] + of, *said[1:]]) if len(found) > 1 else alone}."
    where = [
        f"{verdict}: {'; '.join(each for each, own in found.items() if own is verdict)}"
        for verdict in HOLDS
        if counts[verdict]
    ]
    twice = [f"{part.name} has {part.elsewhere[name]}" for part in parts if name in part.elsewhere]
    without = [part.name for part in parts if part.of(name) is None]
    beyond = [f"not in {listed(without)}"] if without else []
    return Finding(claim, ". ".join([*where, *twice, *beyond]) + ".", _tone(set(found.values())))


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
