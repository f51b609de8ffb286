"""What the study found, in words: effects with what they rest on, and never "no effect"."""

from __future__ import annotations

from ablate.page.document import Finding
from ablate.page.format import count, percent, ratio
from ablate.report.cost.speeds import apart
from ablate.report.summary import Summary, VariantSummary, speed_ratio
from ablate.result import RunStatus
from ablate.result.failures import failed_told
from ablate.stats import DEFAULT_MARGIN, Effect, Rule, Verdict
from ablate.stats.effect import Withheld
from ablate.stats.words import (
    WITHHELD,
    claim,
    could_see_each,
    evidence,
    points,
    size,
    speed_words,
)
from ablate.study.metrics import ACCURACY
from ablate.system.messages.language import N_, Said, _, amount, retold

MAX_SINGLE = 6
"""More undecided variants than this stand in one finding; the table has them all."""

LEAKED = N_(
    "Test-leaked: the learning-rate schedule of this study saw the test set "
    '(split = "tutorial"). No verdict is claimed from its numbers.'
)

Compared = tuple[VariantSummary, Effect]


def headline(summary: Summary) -> str:
    """The answer in one sentence."""
    if not summary.finished:
        return _("No run has finished, so nothing can be said yet.")
    if not summary.tested:
        return _("The study has no variant besides its baseline, so there is nothing to compare.")
    if summary.leaked:
        return _("No verdict is claimed, because the schedule saw the test set.")
    if not summary.reference.n:
        return _(
            "No variant can be compared: the baseline {baseline} has no finished run.",
            baseline=summary.baseline,
        )
    missing = sum(not variant.n for variant in summary.tested)
    searched = sum(_is_searched(v.effect) for v in summary.tested)
    numbers = [(len(_with(summary, verdict)), _(verdict)) for verdict in Verdict]
    undecided = numbers.pop()[0] - missing - searched
    numbers += [(undecided, _("undecided")), (missing, _("without a run"))]
    numbers += [(searched, _("tried by the search alone and not judged"))]
    told = _(", ").join(
        _("{number} {verdict}", number=number, verdict=verdict)
        for number, verdict in numbers
        if number
    )
    return (
        _(
            "{variants} against the baseline {baseline}: {told}.",
            variants=amount(len(summary.tested), "variant"),
            baseline=summary.baseline,
            told=told,
        )
        + _scope(summary)
        + (
            _(" This is {exploratory}.", exploratory=retold(summary.exploratory))
            if summary.exploratory
            else ""
        )
    )


def _scope(summary: Summary) -> str:
    """What the verdicts are about, as far as every run has its bits, and what is called equivalent."""
    about = {Rule.BLOCKS, Rule.UNPAIRED, Rule.ANYTIME}
    judged = [v.effect for v in summary.tested if v.effect and v.effect.low is not None]
    said = []
    if summary.metric != ACCURACY:
        said.append(_("the verdicts are about {title}", title=summary.judged_by.title))
    if judged and all(effect.rule in about for effect in judged):
        said.append(_("the verdicts are about new images and new seeds"))
    if summary.elsewhere and judged and all(effect.rule is Rule.SCORES for effect in judged):
        said.append(_("the verdicts are about new seeds on these very images"))
    if _with(summary, Verdict.EQUIVALENT):
        said.append(_("equivalent means within the {margin}", margin=margin_words(summary)))
    text = _("; ").join(said)
    return _(" {told}.", told=text[0].upper() + text[1:]) if text else ""


def lacking_words(summary: Summary) -> str:
    """How many finished runs cannot be judged by the metric, and why; empty where all can."""
    if not summary.lacking:
        return ""
    return _(
        "{runs} finished without a value of {title}, as where the study had another metric when they were "
        "trained, and no verdict counts them: `ablate run` of the study trains what is missing.",
        runs=amount(summary.lacking, "run"),
        title=summary.judged_by.title,
    )


def failed_words(variant: VariantSummary, summary: Summary) -> Said | None:
    """How many runs of a variant failed, and what trains them again, where none has finished."""
    runs = summary.runs[summary.runs["variant"] == variant.name]
    if (runs["status"] == RunStatus.FINISHED).any():
        return None
    failed = runs.loc[runs["status"] == RunStatus.FAILED, "failure"]
    return failed_told(list(failed), variant.planned)


def findings(summary: Summary) -> tuple[Finding, ...]:
    """One finding for each variant that differs, then what could not be decided and why."""
    if summary.leaked or not summary.finished or not summary.reference.n:
        return ()
    clear = (Verdict.BETTER, Verdict.WORSE), (Verdict.EQUIVALENT,), (Verdict.IDENTICAL,)
    found = [_found(v, e, summary) for verdicts in clear for v, e in _with(summary, *verdicts)]
    undecided = [(v, e) for v, e in _with(summary, Verdict.UNDECIDED) if not _is_searched(e)]
    could = [(v, e) for v, e in undecided if e.smallest_detectable is not None]
    if len(could) > MAX_SINGLE:
        found.append(_undecided_together(could))
    else:
        found += [_found(v, e, summary) for v, e in could]
    withheld = [(v, e) for v, e in undecided if e.withheld is not None]
    if len(withheld) > MAX_SINGLE:
        reasons = dict.fromkeys(e.withheld for _variant, e in withheld if e.withheld)
        found += [_withheld_together(why, withheld) for why in reasons]
    else:
        found += [_found(v, e, summary) for v, e in withheld]
    untestable = [v.name for v, e in undecided if v.n and e.low is None]
    return tuple(found + ([_untestable(untestable)] if untestable else []))


def _is_searched(effect: Effect | None) -> bool:
    """Whether its only seeds are those that a search chose by."""
    return effect is not None and effect.rule is Rule.SEARCHED


def _with(summary: Summary, *verdicts: Verdict) -> list[Compared]:
    """The variants with one of these verdicts, the largest gain first."""
    chosen = [(v, v.effect) for v in summary.tested if v.effect and v.effect.verdict in verdicts]
    return sorted(chosen, key=lambda pair: -(pair[1].difference or 0.0))


def _found(variant: VariantSummary, effect: Effect, summary: Summary) -> Finding:
    """One variant: the claim, what it stands on, what it costs."""
    within = (
        _(" The difference is smaller than the {margin}.", margin=margin_words(summary))
        if effect.verdict in (Verdict.BETTER, Verdict.WORSE)
        and abs(effect.difference or 0.0) < effect.margin
        else ""
    )
    told = evidence(effect) + within + cost(variant, summary.reference, summary)
    return Finding(claim(effect), told, effect.verdict)


def _undecided_together(could: list[Compared]) -> Finding:
    said = could_see_each([effect for _, effect in could])
    return Finding(said, _range(could), Verdict.UNDECIDED)


def _withheld_together(why: Withheld, withheld: list[Compared]) -> Finding:
    mine = [(v, e) for v, e in withheld if e.withheld is why]
    said = _(
        "Not judged: {variants} ({why}).",
        variants=amount(len(mine), "variant"),
        why=_(WITHHELD[why]),
    )
    return Finding(said, _range(mine), Verdict.UNDECIDED)


def _range(compared: list[Compared]) -> str:
    """Between which the differences of several variants lie, the largest gain first."""
    (top, most), (bottom, least) = compared[0], compared[-1]
    return _(
        "Their observed differences go from {least} ({bottom}) to {most} points ({top}). "
        "The highest of {n} means is partly luck. The table below has every interval.",
        least=points(least.difference),
        bottom=bottom.name,
        most=points(most.difference),
        top=top.name,
        n=len(compared),
    )


def _untestable(names: list[str]) -> Finding:
    listed = ", ".join(names[:MAX_SINGLE]) + (" …" if len(names) > MAX_SINGLE else "")
    text = _("A verdict needs two finished runs or more of the variant and of the baseline.")
    return Finding(
        _(
            "Nothing to test in {variants}: {listed}.",
            variants=amount(len(names), "variant"),
            listed=listed,
        ),
        text,
        Verdict.UNDECIDED,
    )


def margin_words(summary: Summary) -> str:
    """The margin of equivalence, and whether somebody declared it."""
    if summary.margin is None:
        return _(
            "customary margin of {margin} points (none is declared)",
            margin=size(DEFAULT_MARGIN),
        )
    return _("declared margin of {margin} points", margin=size(summary.margin))


def unmoved_in(variant: VariantSummary) -> str:
    """That attention of a variant did not learn, where it did not."""
    if not variant.unmoved:
        return ""
    return _(
        "{name}: some attention ended as it was initialised in {unmoved} of {runs}; "
        "its accuracy says nothing about what attention could do "
        "(v_runs.unmoved_attention says where).",
        name=variant.name,
        unmoved=variant.unmoved,
        runs=amount(variant.n, "run"),
    )


def cost(variant: VariantSummary, base: VariantSummary, summary: Summary) -> str:
    """What a variant costs against another, as a sentence behind others; empty if it is not known."""
    told = costs(variant, base, summary)
    return _(" Cost: {told}.", told=told) if told else ""


def costs(variant: VariantSummary, base: VariantSummary, summary: Summary) -> str:
    """Parameters, and speed where both were measured, in a few words."""
    found = []
    if variant.parameters is not None and base.parameters:
        more = variant.parameters - base.parameters
        sign = "+" if more >= 0 else ""
        found.append(
            _(
                "{more} parameters ({share})",
                more=sign + count(more),
                share=percent(more / base.parameters),
            )
        )
    for column in summary.main_columns:
        own, other = variant.speeds.get(column), base.speeds.get(column)
        times = speed_ratio(variant, base, column)
        if times is not None:
            text = ratio(times.ratio, times.low, times.high)
            notes = [note for note in (speed_words(times), apart(own, other, times)) if note]
            said = _(": {notes}", notes=_("; ").join(notes)) if notes else ""
            found.append(
                _(
                    "{ratio} {mode} images/s on {device} ({protocol}){said}",
                    ratio=text,
                    mode=_(column.mode),
                    device=column.device,
                    protocol=_(column.protocol),
                    said=said,
                )
            )
    return _("; ").join(found)
