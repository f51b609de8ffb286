"""What the study found, in words: effects with what they rest on, and never "no effect"."""

from __future__ import annotations

from ablate.page.document import Finding
from ablate.page.format import count, percent, ratio
from ablate.report.speeds import apart, verdict_words
from ablate.report.summary import Summary, VariantSummary, speed_ratio
from ablate.stats import DEFAULT_MARGIN, Effect, Rule, Verdict
from ablate.stats.words import claim, evidence, points, size
from ablate.study.metrics import ACCURACY
from ablate.system.text import plural

MAX_SINGLE = 6
"""More undecided variants than this stand in one finding; the table has them all."""

LEAKED = (
    "Test-leaked: the learning-rate schedule of this study saw the test set "
    '(split = "tutorial"). No verdict is claimed from its numbers.'
)

Compared = tuple[VariantSummary, Effect]


def headline(summary: Summary) -> str:
    """The answer in one sentence."""
    if not summary.finished:
        return "No run has finished, so nothing can be said yet."
    if not summary.tested:
        return "The study has no variant besides its baseline, so there is nothing to compare."
    if summary.leaked:
        return "No verdict is claimed, because the schedule saw the test set."
    if not summary.reference.n:
        return f"No variant can be compared: the baseline {summary.baseline} has no finished run."
    missing = sum(not variant.n for variant in summary.tested)
    numbers = [(len(_with(summary, verdict)), str(verdict)) for verdict in Verdict]
    numbers = [*numbers[:-1], (numbers[-1][0] - missing, "undecided"), (missing, "without a run")]
    told = ", ".join(f"{number} {verdict}" for number, verdict in numbers if number)
    return (
        f"{plural(len(summary.tested), 'variant')} against the baseline {summary.baseline}: {told}."
        + _scope(summary)
        + (f" This is {summary.exploratory}." if summary.exploratory else "")
    )


def _scope(summary: Summary) -> str:
    """What the verdicts are about, as far as every run has its bits, and what is called equivalent."""
    about = {Rule.BLOCKS, Rule.UNPAIRED, Rule.ANYTIME}
    judged = [v.effect for v in summary.tested if v.effect and v.effect.low is not None]
    said = []
    if summary.metric != ACCURACY:
        said.append(f"the verdicts are about {summary.judged_by.title}")
    if judged and all(effect.rule in about for effect in judged):
        said.append("the verdicts are about new images and new seeds")
    if _with(summary, Verdict.EQUIVALENT):
        said.append(f"equivalent means within the {margin_words(summary)}")
    text = "; ".join(said)
    return f" {text[0].upper()}{text[1:]}." if text else ""


def findings(summary: Summary) -> tuple[Finding, ...]:
    """One finding for each variant that differs, then what could not be decided and why."""
    if summary.leaked or not summary.finished or not summary.reference.n:
        return ()
    clear = (Verdict.BETTER, Verdict.WORSE), (Verdict.EQUIVALENT,), (Verdict.IDENTICAL,)
    found = [_found(v, e, summary) for verdicts in clear for v, e in _with(summary, *verdicts)]
    undecided = _with(summary, Verdict.UNDECIDED)
    could = [(v, e) for v, e in undecided if e.smallest_detectable is not None]
    if len(could) > MAX_SINGLE:
        found.append(_undecided_together(could))
    else:
        found += [_found(v, e, summary) for v, e in could]
    untestable = [v.name for v, e in undecided if e.smallest_detectable is None and v.n]
    return tuple(found + ([_untestable(untestable)] if untestable else []))


def _with(summary: Summary, *verdicts: Verdict) -> list[Compared]:
    """The variants with one of these verdicts, the largest gain first."""
    chosen = [(v, v.effect) for v in summary.tested if v.effect and v.effect.verdict in verdicts]
    return sorted(chosen, key=lambda pair: -(pair[1].difference or 0.0))


def _found(variant: VariantSummary, effect: Effect, summary: Summary) -> Finding:
    """One variant: the claim, what it stands on, what it costs."""
    within = (
        f" The difference is smaller than the {margin_words(summary)}."
        if effect.verdict in (Verdict.BETTER, Verdict.WORSE)
        and abs(effect.difference or 0.0) < effect.margin
        else ""
    )
    told = evidence(effect) + within + cost(variant, summary.reference, summary)
    return Finding(claim(effect), told, effect.verdict)


def _undecided_together(could: list[Compared]) -> Finding:
    seen = sorted(effect.smallest_detectable or 0.0 for _, effect in could)
    (top, most), (bottom, least) = could[0], could[-1]
    said = (
        f"No difference found for {len(could)} variants (these runs could have seen "
        f"≥ {size(seen[0])} to ≥ {size(seen[-1])} points, depending on the variant)."
    )
    text = (
        f"Their observed differences go from {points(least.difference)} ({bottom.name}) to "
        f"{points(most.difference)} points ({top.name}). The highest of {len(could)} means is "
        "partly luck. The table below has every interval."
    )
    return Finding(said, text, Verdict.UNDECIDED)


def _untestable(names: list[str]) -> Finding:
    listed = ", ".join(names[:MAX_SINGLE]) + (" …" if len(names) > MAX_SINGLE else "")
    text = "A verdict needs two finished runs or more of the variant and of the baseline."
    return Finding(
        f"Nothing to test in {plural(len(names), 'variant')}: {listed}.", text, Verdict.UNDECIDED
    )


def margin_words(summary: Summary) -> str:
    """The margin of equivalence, and whether somebody declared it."""
    if summary.margin is None:
        return f"customary margin of {size(DEFAULT_MARGIN)} points (none is declared)"
    return f"declared margin of {size(summary.margin)} points"


def unmoved_in(variant: VariantSummary) -> str:
    """That attention of a variant did not learn, where it did not."""
    if not variant.unmoved:
        return ""
    return (
        f"{variant.name}: some attention ended as it was initialised in {variant.unmoved} of "
        f"{plural(variant.n, 'run')}; its accuracy says nothing about what attention could do "
        "(v_runs.unmoved_attention says where)."
    )


def cost(variant: VariantSummary, base: VariantSummary, summary: Summary) -> str:
    """What a variant costs against another: parameters, and speed where both were measured."""
    costs = []
    if variant.parameters is not None and base.parameters:
        more = variant.parameters - base.parameters
        sign = "+" if more >= 0 else ""
        costs.append(f"{sign}{count(more)} parameters ({percent(more / base.parameters)})")
    for column in summary.main_columns:
        own, other = variant.speeds.get(column), base.speeds.get(column)
        times = speed_ratio(variant, base, column)
        if times is not None:
            text = ratio(times.ratio, times.low, times.high)
            notes = [note for note in (verdict_words(times), apart(own, other, times)) if note]
            said = f": {'; '.join(notes)}" if notes else ""
            costs.append(
                f"{text} {column.mode} images/s on {column.device} ({column.protocol}){said}"
            )
    return f" Cost: {'; '.join(costs)}." if costs else ""
