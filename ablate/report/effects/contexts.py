"""A study in several contexts: one table that says where each effect holds, and on what it depends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ablate.page import format as fmt
from ablate.page.document import (
    Block,
    Column,
    Document,
    Figure,
    Finding,
    Findings,
    Note,
    Row,
    Section,
    Table,
    TableCell,
    Tone,
)
from ablate.report.arms import arms_of
from ablate.report.effects.forests import over_both
from ablate.report.results import NOT_CLAIMED
from ablate.report.summary import Summary, VariantSummary
from ablate.stats import Verdict, words
from ablate.stats.arms import Arms, gather
from ablate.stats.contrasts import estimates
from ablate.stats.factor_words import interaction_claim, main_claim, main_evidence
from ablate.stats.factors import Interaction, InteractionOf, main_effects
from ablate.stats.matched import Compared, Level, factors_of, levels_of, square_contrasts
from ablate.system.messages.context import Context, context_name, short_key, value_name
from ablate.system.messages.language import N_, _, retold

VARIANT = "variant"
TOGETHER = N_(
    "Of all variants to the baseline, between all of these; a family of its own, "
    "whose intervals hold together."
)
Squares = dict[tuple[tuple[Level, Level], tuple[Level, Level]], Compared]
HOLDS = (Verdict.BETTER, Verdict.WORSE, Verdict.EQUIVALENT, Verdict.IDENTICAL, Verdict.UNDECIDED)


@dataclass(frozen=True)
class InContext:
    """What is special to a context, the folder of its own report, the study in it, and the hash of its
    images; `called` is its name where it has another one. `elsewhere` says of a variant whose runs its runs
    are: it is shown, and counted there.
    """

    context: Context
    folder: str
    summary: Summary
    dataset_hash: str = ""
    called: str = ""
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.called or context_name(self.context)

    def of(self, variant: str) -> VariantSummary | None:
        """A variant, or the one that it is the same network as."""
        known = {each.name: each for each in self.summary.variants}
        found = known.get(variant)
        return known.get(found.same_as) if found and found.same_as else found


def compose_contexts(contexts: Sequence[InContext]) -> Document:
    """The page over all contexts: where effects hold, what they depend on, and what the contexts are."""
    study = _study(contexts)
    sections = (
        Section(
            "where",
            _("Where it holds"),
            (
                *_holding(contexts),
                where_table(contexts),
                *over_both("contexts", contexts, "context"),
            ),
        ),
        Section("depends", _("What it depends on"), dependence(contexts)),
        Section("contexts", _("The contexts"), (contexts_table(contexts),)),
    )
    return Document(
        title=str(study["name"]),
        question=str(study.get("question") or ""),
        facts=(
            (_("Contexts"), f"{len(contexts):,}"),
            (_("Variants"), f"{len(variants_of(contexts)) + 1:,}"),
            (
                _("Finished seeds") if _have_folds(contexts) else _("Finished runs"),
                f"{sum(_finished(each.summary) for each in contexts):,}",
            ),
        ),
        banner="",
        sections=tuple(section for section in sections if section.blocks),
    )


def context_blocks(contexts: Sequence[InContext], drawn: Mapping[str, Figure]) -> tuple[Block, ...]:
    """Whether what the report of one context says holds in the others; nothing where it is the only one."""
    if not contexts:
        return tuple(drawn.values())
    told = Note(
        _("What it depends on is decided in the report over all contexts, ../../report.html.")
    )
    return (*_holding(contexts), where_table(contexts), *drawn.values(), told)


def where_table(contexts: Sequence[InContext], word: str = "context") -> Table:
    """A row for each variant, a column for each context: the difference to the baseline of that context.
    `word` is what contexts are called.
    """
    columns = (
        Column(_("Variant"), numeric=False),
        *(
            Column(each.name, _("to {baseline}", baseline=each.summary.baseline))
            for each in contexts
        ),
        Column(_("Verdicts"), numeric=False),
    )
    rows = tuple(
        Row(
            (
                TableCell(name),
                *(_cell(name, each, word) for each in contexts),
                TableCell(_counted(name, contexts)),
            )
        )
        for name in variants_of(contexts)
    )
    caption = (
        _(
            "Differences in points, each to the baseline of its own study. The 95 % "
            "intervals of a column hold together, those of different columns do not: "
            "with several studies something that is not there is found somewhere more "
            "often than in one study of twenty."
        )
        if word == "study"
        else _(
            "Differences in points, each to the baseline of its own context. The 95 % "
            "intervals of a column hold together, those of different columns do not: "
            "with several contexts something that is not there is found somewhere more "
            "often than in one study of twenty."
        )
    )
    return Table(caption, columns, rows)


def contexts_table(contexts: Sequence[InContext]) -> Table:
    """What each context is, how far it has come, and how well its baseline does."""
    columns = (
        Column(_("Context"), numeric=False),
        Column(_("Data set"), numeric=False),
        Column(_("Baseline"), numeric=False),
        Column(_("Its accuracy"), _("test, %, mean ± 95 %")),
        Column(_("Seeds") if _have_folds(contexts) else _("Runs"), _("finished of planned")),
        Column(_("Report"), numeric=False),
    )
    rows = tuple(
        Row(
            (
                TableCell(each.name),
                TableCell(str(each.summary.study.get("dataset"))),
                TableCell(each.summary.baseline),
                TableCell(fmt.accuracy(each.summary.reference.accuracy)),
                TableCell(_progress(each.summary)),
                TableCell(f"{each.folder}/report.html"),
            )
        )
        for each in contexts
    )
    return Table(_("Each context has a report of its own, with everything else."), columns, rows)


def _holding(contexts: Sequence[InContext]) -> tuple[Block, ...]:
    items = tuple(
        Finding(
            _("{name}: {verdicts}.", name=name, verdicts=_counted(name, contexts)),
            _named(name, contexts),
            _tone(name, contexts),
        )
        for name in variants_of(contexts)
        if any(verdicts_of(name, contexts))
    )
    return (
        (Findings(items),) if items else (Note(_("No variant can be judged in any context yet.")),)
    )


def _cell(name: str, each: InContext, word: str) -> TableCell:
    variant, summary = each.of(name), each.summary
    if variant is None:
        absent = _("not in this study") if word == "study" else _("not in this context")
        return TableCell(fmt.MISSING, absent)
    effect = variant.effect
    if effect is None:
        return TableCell(fmt.MISSING, _("the baseline") if variant.is_baseline else _("no runs"))
    if summary.leaked:
        return TableCell(words.points(effect.difference), _(NOT_CLAIMED), "warning")
    note = f"{words.span(effect.low, effect.high)}, {_(effect.verdict)}, n = {effect.n}"
    if name in each.elsewhere:
        said = _("{told}; {more}", told=note, more=retold(each.elsewhere[name]))
        return TableCell(words.points(effect.difference), said)
    return TableCell(words.points(effect.difference), note, effect.verdict)


def variants_of(contexts: Sequence[InContext]) -> list[str]:
    """Every variant that is compared in some context, in the order of the grids."""
    names = (v.name for each in contexts for v in each.summary.variants if not v.is_baseline)
    return list(dict.fromkeys(names))


def verdicts_of(name: str, contexts: Sequence[InContext]) -> dict[str, Verdict]:
    """Context → verdict, where there is one, and no other context has these very runs."""
    counted = (each for each in contexts if name not in each.elsewhere)
    found = {each.name: (each.of(name), each.summary.leaked) for each in counted}
    return {
        context: variant.effect.verdict
        for context, (variant, leaked) in found.items()
        if variant is not None and variant.effect is not None and not leaked
    }


def _counted(name: str, contexts: Sequence[InContext]) -> str:
    counts = Counter(verdicts_of(name, contexts).values())
    if not counts:
        twice = any(name in each.elsewhere for each in contexts)
        return _("counted elsewhere") if twice else _("not judged")
    if len(counts) == 1 and counts.total() == len(contexts):
        verdict = _(next(iter(counts)))
        n = len(contexts)
        return verdict if n == 1 else _("{verdict} in all {n}", verdict=verdict, n=n)
    return _(", ").join(
        _("{verdict} in {n}", verdict=_(verdict), n=counts[verdict])
        for verdict in HOLDS
        if counts[verdict]
    )


def _named(name: str, contexts: Sequence[InContext]) -> str:
    verdicts = verdicts_of(name, contexts)
    told = [
        f"{_(verdict)}: {'; '.join(context for context, own in verdicts.items() if own is verdict)}"
        for verdict in HOLDS
        if verdict in verdicts.values()
    ]
    return " ".join(_("{told}.", told=text) for text in told)


def _tone(name: str, contexts: Sequence[InContext]) -> Tone:
    found = set(verdicts_of(name, contexts).values())
    return found.pop() if len(found) == 1 else Verdict.UNDECIDED


def dependence(contexts: Sequence[InContext]) -> tuple[Block, ...]:
    """Differences of differences, where all contexts were tested on the same images."""
    summaries = [each.summary for each in contexts]
    if any(summary.leaked for summary in summaries) or len({s.baseline for s in summaries}) > 1:
        return ()
    if len({each.dataset_hash for each in contexts}) > 1:
        return (Note(_("Contexts of different images are not compared with each other.")),)
    table, samples = _table(contexts)
    arms = gather(samples)
    if arms is None:
        return ()
    looked = any(summary.any_time for summary in summaries)
    told = [
        Finding(interaction_claim(found), _(TOGETHER))
        for axis in factors_of(table)
        if axis != VARIANT and (found := _between(arms, table, axis, looks=looked)) is not None
    ]
    told += [
        Finding(main_claim(found), main_evidence(found))
        for found in main_effects(arms, table, looks=looked)
        if found.factor != VARIANT
    ]
    return (Findings(tuple(told)),) if told else ()


def _between(
    arms: Arms, table: Mapping[str, Mapping[str, Level]], axis: str, *, looks: bool
) -> InteractionOf | None:
    """How much more each variant differs from the baseline at one level of an axis than at another; None
    where nothing can be compared.
    """

    def squares(rows: Mapping[str, Mapping[str, Level]]) -> Squares:
        found = square_contrasts(rows, VARIANT, axis)
        return {key: each for key, each in found.items() if key[0][1] == baseline}

    # The last of the variants, and so the second of two: `_table` sees to that.
    baseline = levels_of(table, VARIANT)[-1]

    compared = squares({name: row for name, row in table.items() if name in arms.names})
    told = estimates(
        arms,
        [each.weights for each in compared.values()],
        planned=len(squares(table)),
        looks=looks,
    )
    found = tuple(
        Interaction(levels, at, estimate, compared[levels, at].sets)
        for (levels, at), estimate in zip(compared, told, strict=True)
    )
    return InteractionOf((VARIANT, axis), found) if found else None


def _table(
    contexts: Sequence[InContext],
) -> tuple[dict[str, Mapping[str, Level]], dict[str, Any]]:
    """Arms by context and variant, with the levels of each."""
    found = [
        (f"{number}/{name}", {VARIANT: name, **levels}, sample)
        for number, each in enumerate(contexts)
        if arms_of(each.summary) is not None
        for levels in [{short_key(key): _level(value) for key, value in each.context}]
        for name, sample in each.summary.kinds.judged.items()
    ]
    # Baselines last: differences are told of a variant to one, and not the other way round.
    found.sort(key=lambda own: own[1][VARIANT] == contexts[0].summary.baseline)
    return {own[0]: own[1] for own in found}, {own[0]: own[2] for own in found}


def _level(value: object) -> Level:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value_name(value)
    return value


def _finished(summary: Summary) -> int:
    return sum(v.n + v.besides for v in summary.variants)


def _have_folds(contexts: Sequence[InContext]) -> bool:
    """Whether a result is of a seed, which has several runs then."""
    return any(each.summary.folds > 1 for each in contexts)


def _progress(summary: Summary) -> str:
    planned = sum(v.planned for v in summary.variants)
    return _("{n:,} of {total:,}", n=_finished(summary), total=planned)


def _study(contexts: Sequence[InContext]) -> Mapping[str, Any]:
    return contexts[0].summary.study
