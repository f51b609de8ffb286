"""`ablate compare`: what one variant does that another does not, in words."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Literal

from ablate.commands.chosen import Asked, frames_of
from ablate.commands.looked import keep_look
from ablate.errors import DatabaseError, OptionError
from ablate.report.files.numbers import effect_document, json_text
from ablate.report.findings import LEAKED, cost, failed_words, lacking_words, unmoved_in
from ablate.report.summary import Summary, VariantSummary, summarize
from ablate.stats import Effect, effects, words
from ablate.study.meant import find_variant
from ablate.system.messages.console import say
from ablate.system.messages.language import ENGLISH, _, retold, spoken
from ablate.system.messages.pulse import PULSE


def compare_accuracies(
    first: str, second: str, study: Asked, data: Path | None, url: str,
    format: Literal["words", "json"] = "words",
) -> str | None:  # fmt: skip
    """Print the effect of the second variant against the first, and what it costs; returns the verdict, None
    where none is claimed.

    Raises:
        UnknownNameError: no such variant in the study.
        OptionError: both names stand for one network.
        DatabaseError: nothing of this study in the database, or a variant without a finished run.
    """
    PULSE.step(_("reading the database"))
    with redirect_stdout(sys.stderr if format == "json" else sys.stdout):
        frames = frames_of(study, data, url)
        PULSE.step(_("computing"))
        summary = summarize(frames)
        pair(summary, first, second)  # both are there
        keep_look(frames, url, "compare")
    effect = effect_of(summary, first, second)
    if format == "json":
        PULSE.end()
        with spoken(ENGLISH):
            print(json_text(document(summary, first, second, effect)), end="")
    else:
        for line in told(summary, first, second):
            say(line)
    return None if effect is None else str(effect.verdict)


def effect_of(summary: Summary, first: str, second: str) -> Effect | None:
    """Of the second variant against the first; None where nothing is claimed.

    Raises:
        UnknownNameError, OptionError, DatabaseError: as `compare_accuracies`.
    """
    return None if summary.leaked else _effect(*pair(summary, first, second), summary)


def document(summary: Summary, first: str, second: str, effect: Effect | None) -> dict[str, Any]:
    """What `--format json` prints: keys of report.json, and the words; of a test-leaked study no effect."""
    base, variant = pair(summary, first, second)
    found = None if effect is None else effect_document(variant, effect, summary.leaked)
    return {
        "study": summary.study["name"],
        "setting": summary.study.get("setting"),
        "baseline": base.name,
        "variant": variant.name,
        "metric": f"test_{summary.metric}",
        "in_family": _in_family(base, variant),
        "test_leaked": summary.leaked,
        "effect": found,
        "words": told(summary, first, second),
    }


def pair(summary: Summary, first: str, second: str) -> tuple[VariantSummary, VariantSummary]:
    """The two variants, both with finished runs.

    Raises:
        UnknownNameError, OptionError, DatabaseError: as `compare_accuracies`.
    """
    base, variant = (_find(name, summary) for name in (first, second))
    if base.name == variant.name:
        raise OptionError(f"{first} and {second} are the same network: name two that differ")
    for each in (base, variant):
        if not each.n and (lacking := lacking_words(summary)):
            raise DatabaseError(f"{each.name}: {lacking}")
        if not each.n:
            raise _unfinished(each, summary)
    return base, variant


def _unfinished(variant: VariantSummary, summary: Summary) -> DatabaseError:
    """Why there is no finished run of a variant, and what makes one."""
    if summary.elsewhere:
        return DatabaseError(f"{variant.name} has no finished run among those that were imported")
    why = failed_words(variant, summary) or "`ablate run` trains it"
    return DatabaseError(f"{variant.name} has no finished run yet: {why}")


def told(summary: Summary, first: str, second: str) -> list[str]:
    """The lines of `ablate compare`."""
    base, variant = pair(summary, first, second)
    if summary.leaked:
        return [_(LEAKED)]
    effect = _effect(base, variant, summary)
    lines = [words.claim(effect), words.evidence(effect), cost(variant, base, summary).strip()]
    lines.extend(unmoved_in(each) for each in (base, variant))
    if not _in_family(base, variant):
        lines.append(
            _(
                "This pair was tested by itself, not within the study's family of "
                "comparisons with its baseline {baseline}: chosen among many, it finds a "
                "difference too easily.",
                baseline=summary.baseline,
            )
        )
    lines.append(lacking_words(summary))
    if summary.exploratory:
        lines.append(_("This is {exploratory}.", exploratory=retold(summary.exploratory)))
    return [line for line in lines if line]


def _find(name: str, summary: Summary) -> VariantSummary:
    """The variant whose network a name stands for."""
    known = {variant.name: variant for variant in summary.variants}
    found = find_variant(name, known)
    return known[known[found].same_as or found]


def _in_family(base: VariantSummary, variant: VariantSummary) -> bool:
    """Whether the pair is one of the study's comparisons with its baseline, in either order."""
    return base.is_baseline or variant.is_baseline


def _effect(base: VariantSummary, variant: VariantSummary, summary: Summary) -> Effect:
    if base.is_baseline and variant.effect is not None:
        return variant.effect  # adjusted for all variants, as in the report
    if variant.is_baseline and base.effect is not None:
        return base.effect.turned
    samples = summary.kinds.beside(base.name, variant.name)
    return effects(samples, base.name, summary.margin, looks=summary.any_time)[variant.name]
