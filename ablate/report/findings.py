"""What the study found, in words: effects with what they rest on, and never "no effect"."""

from __future__ import annotations

from ablate.page.document import Finding
from ablate.page.format import count, p_equation, percent, points, ratio, size, span
from ablate.report.speeds import ratio_between, ratio_to, verdict_words
from ablate.report.summary import Summary, VariantSummary
from ablate.stats import Effect
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
    verdicts = ("better", "worse", "equivalent", "undecided")
    numbers = [(len(_with(summary, verdict)), verdict) for verdict in verdicts]
    missing = sum(not variant.n for variant in summary.tested)
    numbers = [*numbers[:-1], (numbers[-1][0] - missing, "undecided"), (missing, "without a run")]
    told = ", ".join(f"{number} {verdict}" for number, verdict in numbers if number)
    return (
        f"{plural(len(summary.tested), 'variant')} against the baseline {summary.baseline}: {told}."
    )


def findings(summary: Summary) -> tuple[Finding, ...]:
    """One finding for each variant that differs, then what could not be decided and why."""
    if summary.leaked or not summary.finished or not summary.reference.n:
        return ()
    found = [_difference(v, e, summary) for v, e in _with(summary, "better", "worse")]
    found += [_equivalent(v, e, summary) for v, e in _with(summary, "equivalent")]
    undecided = _with(summary, "undecided")
    could = [(v, e) for v, e in undecided if e.smallest_detectable is not None]
    if len(could) > MAX_SINGLE:
        found.append(_undecided_together(could))
    else:
        found += [_undecided(v, e) for v, e in could]
    untestable = [v.name for v, e in undecided if e.smallest_detectable is None and v.n]
    return tuple(found + ([_untestable(untestable)] if untestable else []))


def _with(summary: Summary, *verdicts: str) -> list[Compared]:
    """The variants with one of these verdicts, the largest gain first."""
    chosen = [(v, v.effect) for v in summary.tested if v.effect and v.effect.verdict in verdicts]
    return sorted(chosen, key=lambda pair: -(pair[1].difference or 0.0))


def _difference(variant: VariantSummary, effect: Effect, summary: Summary) -> Finding:
    claim = (
        f"{variant.name} is {effect.verdict} than the baseline by {size(effect.difference)} points."
    )
    within = (
        f" The difference is smaller than the declared margin of {size(summary.margin)} points."
        if summary.margin and abs(effect.difference or 0.0) < summary.margin
        else ""
    )
    return Finding(
        claim, evidence(effect) + within + cost(variant, summary.reference, summary), effect.verdict
    )


def _equivalent(variant: VariantSummary, effect: Effect, summary: Summary) -> Finding:
    claim = (
        f"{variant.name} is equivalent to the baseline within the declared "
        f"±{size(summary.margin)} points."
    )
    text = f"Difference {points(effect.difference)} points; {evidence(effect)}"
    return Finding(claim, text + cost(variant, summary.reference, summary), "equivalent")


def _undecided(variant: VariantSummary, effect: Effect) -> Finding:
    claim = (
        f"No difference found for {variant.name} "
        f"(these seeds could have seen ≥ {size(effect.smallest_detectable)} points)."
    )
    text = f"Difference {points(effect.difference)} points; {evidence(effect)}"
    return Finding(claim, text, "undecided")


def _undecided_together(could: list[Compared]) -> Finding:
    seen = sorted(effect.smallest_detectable or 0.0 for _, effect in could)
    (top, most), (bottom, least) = could[0], could[-1]
    claim = (
        f"No difference found for {len(could)} variants (these seeds could have seen "
        f"≥ {size(seen[0])} to ≥ {size(seen[-1])} points, depending on the variant)."
    )
    text = (
        f"Their observed differences go from {points(least.difference)} ({bottom.name}) to "
        f"{points(most.difference)} points ({top.name}). The highest of {len(could)} means is "
        "partly luck. The table below has every interval."
    )
    return Finding(claim, text, "undecided")


def _untestable(names: list[str]) -> Finding:
    listed = ", ".join(names[:MAX_SINGLE]) + (" …" if len(names) > MAX_SINGLE else "")
    claim = f"Nothing to test in {plural(len(names), 'variant')}: {listed}."
    text = (
        "A test needs at least two finished runs of the variant and of the baseline, and "
        "accuracies that are not all equal: a larger test set or more seeds."
    )
    return Finding(claim, text, "undecided")


def evidence(effect: Effect) -> str:
    """What a verdict stands on."""
    if effect.low is None:
        return (
            f"n = {effect.n} against {effect.n_baseline}: no interval and no test, which take two runs "
            "or more of each."
        )
    return (
        f"95 % interval {span(effect.low, effect.high)} points; "
        f"adjusted {p_equation(effect.p_adjusted)}; n = {effect.n} against {effect.n_baseline}; "
        f"smallest detectable effect {size(effect.smallest_detectable)} points."
    )


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
        divided = ratio_to if base.is_baseline else ratio_between
        times = divided(variant.speeds.get(column), base.speeds.get(column))
        if times is not None:
            text = ratio(times.ratio, times.low, times.high)
            said = f": {words}" if (words := verdict_words(times)) else ""
            costs.append(
                f"{text} {column.mode} images/s on {column.device} ({column.protocol}){said}"
            )
    return f" Cost: {'; '.join(costs)}." if costs else ""
