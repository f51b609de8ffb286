"""One report over several studies: what may be compared, where each effect holds, and what it costs where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ablate.errors import OptionError
from ablate.page import format as fmt
from ablate.page.document import (
    Block,
    Column,
    Document,
    Finding,
    Findings,
    Note,
    Row,
    Section,
    Table,
    TableCell,
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
    facts_of,
    groups_of,
    listed,
    networks,
    run_keys,
)
from ablate.report.several_costs import cost_tables
from ablate.stats import Verdict
from ablate.system.text import plural

FIGURE = "effects"
MOST_FINDINGS = 12
COMPARED = "the same images and classes, network, recipe, image size, baseline and metric"


def compose_several(parts: Sequence[InContext]) -> Document:
    """The page over several studies."""
    groups = groups_of(parts)
    sections = (
        Section("compared", "What may be compared", _compared(groups)),
        Section("holds", "Does it hold in all?", _holding(parts)),
        *(_section(number, group, groups[0]) for number, group in enumerate(groups, 1)),
        Section("effects", "Effects", over_both(FIGURE, parts, "study")),
        Section("depends", "What it depends on", _depends(groups)),
        Section("cost", "What it costs", cost_tables(parts)),
        Section("studies", "The studies", (studies_table(parts), *_shared(parts))),
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


def refuse_strangers(parts: Sequence[InContext]) -> None:
    """Refuse a study that shares nothing with any of the others.

    Raises:
        OptionError: it has neither a variant nor images, network and recipe in common with another.
    """
    groups = groups_of(parts)
    for part in parts:
        own, name = set(variants_of([part])), part.summary.study["name"]
        others = [each for each in parts if each.summary.study["name"] != name]
        beside = any(part in group.parts and len(group.parts) > 1 for group in groups)
        if others and not beside and not own & set(variants_of(others)):
            raise OptionError(
                f"{part.name} has nothing in common with {listed([each.name for each in others])}: no "
                "variant, and not the same images, network and recipe: leave it out"
            )


def finished(parts: Sequence[InContext]) -> frozenset[str]:
    """The keys of all finished runs: one that several studies name is one."""
    return frozenset().union(*(run_keys(part.summary) for part in parts))


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


def _compared(groups: Sequence[Group]) -> tuple[Block, ...]:
    """The first lines: which numbers stand beside each other, which do not, and why."""
    first, *others = groups
    together = [group for group in groups if len(group.parts) > 1]
    lead = [Note(f"{group.title} may be compared: {COMPARED}.", "lead") for group in together]
    if not together:
        text = (
            "No two of these studies may be compared number by number. What may be compared is whether an "
            "effect holds: each verdict is of a variant to the baseline of its own study."
        )
        lead = [Note(text, "lead")]
    apart = [
        Note(
            f"{group.title} {'is' if len(group.parts) == 1 else 'are'} not compared with {first.title}: "
            f"{differences(first.facts, group.facts)}."
        )
        for group in others
    ]
    return (*lead, *apart, *_machines(groups), *_other_networks(together))


def _machines(groups: Sequence[Group]) -> tuple[Block, ...]:
    """That studies of one recipe were trained on unlike machines."""
    told = []
    for group in groups:
        places = {part.name: " and ".join(part.summary.trained_on) for part in group.parts}
        if len({place for place in places.values() if place}) > 1:
            each = "; ".join(
                f"{name} on {place or 'what is not known'}" for name, place in places.items()
            )
            text = (
                f"Trained on unlike machines, so that every study has a column of its own: {each}."
            )
            told.append(Note(text, "warning"))
    return tuple(told)


def _other_networks(groups: Sequence[Group]) -> tuple[Block, ...]:
    """That a name does not stand for the same network in studies that may be compared."""
    told = []
    for group in groups:
        names = [*variants_of(group.parts), group.facts["baseline"]]
        found = {
            name: {own for p in group.parts if (own := networks(p.summary, name))} for name in names
        }
        other = [name for name, fingerprints in found.items() if len(fingerprints) > 1]
        if other:
            text = (
                f"Not the same network in all of {group.title}, though it is called so: {listed(other)}. The "
                "code of the network has changed between them."
            )
            told.append(Note(text, "warning"))
    return tuple(told)


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


def _shared(parts: Sequence[InContext]) -> tuple[Block, ...]:
    named = sum(len(run_keys(part.summary)) for part in parts)
    left = named - len(finished(parts))
    if not left:
        return ()
    text = f"{plural(left, 'finished run')} stand in more than one of these studies and are counted once."
    return (Note(text),)
