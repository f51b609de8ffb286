"""The answer in three sentences: what differs, at which place and ratio, and what it costs."""

from __future__ import annotations

from ablate.page.document import Note
from ablate.report.effects.factors import answers
from ablate.report.findings import costs, headline, lacking_words
from ablate.report.results import completeness
from ablate.report.summary import Summary, VariantSummary
from ablate.stats import Verdict
from ablate.stats.factor_words import main_claim, term
from ablate.stats.words import claim
from ablate.system.messages.language import _, noun

ASKED = ("position", "reduction", "kernel_size", "attention")
"""The factors that a reader asks for first, in this order."""
MOST_ASKED = 2
TO_COME = ("running", "stopped", "missing")
"""States of runs that may still change a verdict; failed ones are told elsewhere."""
CLEAR = (Verdict.BETTER, Verdict.WORSE, Verdict.EQUIVALENT)


def answer(summary: Summary) -> tuple[Note, ...]:
    """The sentences; the first alone where there is nothing more to claim."""
    partial = (*_mixed(summary), *_lacking(summary), *_partial(summary))
    if summary.leaked or not summary.tested or not summary.reference.n:
        return (Note(headline(summary), "lead"), *partial)
    best = _clearest(summary)
    first = f"{headline(summary)} {_said_of(best)}".strip()
    told = (first, _where(summary), _price(best, summary))
    return (*(Note(text, "lead") for text in told if text), *partial)


def _clearest(summary: Summary) -> VariantSummary | None:
    """The variant with the largest gain that is decided; without one, the one with the largest loss."""
    found = {
        verdict: [v for v in summary.tested if v.effect and v.effect.verdict is verdict]
        for verdict in (Verdict.BETTER, Verdict.WORSE)
    }
    if found[Verdict.BETTER]:
        return max(found[Verdict.BETTER], key=_difference)
    return min(found[Verdict.WORSE], key=_difference, default=None)


def _difference(variant: VariantSummary) -> float:
    return (variant.effect.difference or 0.0) if variant.effect else 0.0


def _said_of(best: VariantSummary | None) -> str:
    if best is None or best.effect is None:
        return ""
    if best.effect.verdict is Verdict.BETTER:
        return _("The largest gain that is decided: {claim}", claim=claim(best.effect))
    return _("The largest loss that is decided: {claim}", claim=claim(best.effect))


def _where(summary: Summary) -> str:
    """Which place and which ratio, as far as variants can be compared that differ in nothing else."""
    asked = {found.factor: found for found in answers(summary)[0]}
    chosen = [asked[factor] for factor in ASKED if factor in asked][:MOST_ASKED]
    return " ".join(f"{term(found.factor).question} {main_claim(found)}" for found in chosen)


def _price(best: VariantSummary | None, summary: Summary) -> str:
    if best is None:
        return ""
    told = costs(best, summary.reference, summary)
    return _("What {name} costs: {told}.", name=best.name, told=told) if told else ""


def _mixed(summary: Summary) -> tuple[Note, ...]:
    """That means are over several networks: earlier versions merged results of another state of the code."""
    networks = summary.runs.groupby("variant", sort=False)["fingerprint"].nunique()
    names = [str(name) for name, count in networks.items() if count > 1]
    if not names:
        return ()
    text = _(
        "Not one network each: {names}. Runs of other code or libraries have the same name, and numbers mix "
        "them: `ablate run` of the study keeps only those of its own network.",
        names=noun(", ").join(names),
    )
    return (Note(text, "warning"),)


def _lacking(summary: Summary) -> tuple[Note, ...]:
    """That finished runs have no value of the metric, and stand in no verdict."""
    told = lacking_words(summary)
    return (Note(told, "warning"),) if told else ()


def _partial(summary: Summary) -> tuple[Note, ...]:
    """That something is missing, and what, before any number is read."""
    bar = completeness(summary)
    if all(part.label == "finished" for part in bar.parts) and bar.parts:
        return ()
    told = _("Partial: this study is not complete. {text}", text=bar.text)
    decided = [v for v in summary.tested if v.effect and v.effect.verdict in CLEAR]
    to_come = any(part.label in TO_COME for part in bar.parts)
    if decided and to_come and not summary.any_time and not summary.elsewhere:
        told += " " + _(
            "Who stops at the first verdict is wrong more often than once in 20 times, and what is "
            "missing can undo one: train it, or let `--until-decided` stop, which allows for looking."
        )
    return (Note(told, "warning"),)
