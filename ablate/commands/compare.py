"""`ablate compare`: what one variant does that another does not, in words."""

from __future__ import annotations

from pathlib import Path

from ablate.commands.chosen import frames_of
from ablate.commands.looked import keep_look
from ablate.errors import DatabaseError, OptionError
from ablate.report.findings import LEAKED, cost, unmoved_in
from ablate.report.summary import Summary, VariantSummary, summarize
from ablate.stats import Effect, effects, words
from ablate.study import Study
from ablate.study.meant import find_variant
from ablate.system.console import say
from ablate.system.pulse import PULSE


def compare_accuracies(first: str, second: str, study: Study, data: Path | None, url: str) -> None:
    """Print the effect of the second variant against the first, and what it costs.

    Raises:
        UnknownNameError: no such variant in the study.
        OptionError: both names stand for one network.
        DatabaseError: nothing of this study in the database, or a variant without a finished run.
    """
    PULSE.step("reading the database")
    frames = frames_of(study, data, url)
    PULSE.step("computing")
    for line in told(summarize(frames), first, second):
        say(line)
    keep_look(frames, url, "compare")


def told(summary: Summary, first: str, second: str) -> list[str]:
    """The lines of `ablate compare`."""
    base, variant = (_find(name, summary) for name in (first, second))
    if base.name == variant.name:
        raise OptionError(f"{first} and {second} are the same network: name two that differ")
    for each in (base, variant):
        if not each.n:
            raise DatabaseError(f"{each.name} has no finished run yet: `ablate run` trains it")
    if summary.leaked:
        return [LEAKED]
    effect = _effect(base, variant, summary)
    lines = [words.claim(effect), words.evidence(effect), cost(variant, base, summary).strip()]
    lines.extend(unmoved_in(each) for each in (base, variant))
    if not base.is_baseline:
        lines.append(
            "This pair was tested by itself, not within the study's family of comparisons with its "
            f"baseline {summary.baseline}: chosen among many, it finds a difference too easily."
        )
    if summary.exploratory:
        lines.append(f"This is {summary.exploratory}.")
    return [line for line in lines if line]


def _find(name: str, summary: Summary) -> VariantSummary:
    """The variant whose network a name stands for."""
    known = {variant.name: variant for variant in summary.variants}
    found = find_variant(name, known)
    return known[known[found].same_as or found]


def _effect(base: VariantSummary, variant: VariantSummary, summary: Summary) -> Effect:
    if base.is_baseline and variant.effect is not None:
        return variant.effect  # adjusted for all variants, as in the report
    samples = summary.kinds.beside(base.name, variant.name)
    return effects(samples, base.name, summary.margin, looks=summary.any_time)[variant.name]
