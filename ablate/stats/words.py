"""What a verdict means, in words. A rule and its wording change together; nobody else words them.

Accuracies come in as fractions. A minus is U+2212, a missing value an en dash.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ablate.stats.effect import Effect, Rule, Verdict
from ablate.stats.ratios import MARGIN, Ratio

MISSING = "–"

RULES = {
    Rule.BLOCKS: "image by image, seeds as blocks",
    Rule.UNPAIRED: "image by image, seeds unpaired",
    Rule.ANYTIME: "image by image, seeds as blocks, valid at every look",
    Rule.SCORES: "from scores alone",
    Rule.BOOTSTRAP: "images drawn again, seeds as blocks",
    Rule.MCNEMAR: "two single runs, McNemar",
    Rule.SEARCHED: "seeds of a search, not judged",
    Rule.NOTHING: "nothing to judge by",
}
"""Each rule in a few words, beside the number that it gave."""

EXPLAINED = {
    Rule.BLOCKS: "The verdict is about new images and new seeds: differences are formed image by image "
    "and seed by seed, and the variance of trainings is moderated over all variants. The intervals "
    "hold together (Dunnett): in 95 % of studies all of them contain their true difference.",
    Rule.UNPAIRED: "Variant and baseline have different seeds, so they are not paired: the interval is "
    "wider than the same number of shared seeds would give.",
    Rule.ANYTIME: "Seeds were added until a verdict was reached. These intervals are wider than those of "
    "a fixed number of seeds and hold at every look at once.",
    Rule.SCORES: "The bits of the single test images are not there, so other test images are not "
    "accounted for; below eight seeds an interval is given and no verdict.",
    Rule.BOOTSTRAP: "The metric is no mean over images: images are drawn again for its "
    "uncertainty, with seeds as blocks.",
    Rule.MCNEMAR: "One run of each: McNemar's test compares these two trained networks, and says "
    "nothing about another seed.",
    Rule.SEARCHED: "What only a search has trained is not judged: the search chose by these seeds, and stops "
    "bad ones early. A verdict takes fresh seeds, with which it confirms the best; the two kinds of "
    "seeds are never put together.",
    Rule.NOTHING: "Verdicts need two finished runs or more of variant and baseline.",
}
"""Each rule in a sentence or two, for whoever reads how to read a report."""


READING = (
    "What is said of a difference is read off one interval, in the text, the table and the figures alike: "
    "better or worse where it excludes 0, equivalent where it lies within the margin, undecided "
    "otherwise; identical where every run is right on the same test images. Variants that have not finished "
    "count in the family.",
    "“Could have seen ≥ x points” is the smallest detectable effect: the difference that would be found "
    "in 80 % of studies with these runs and this spread. A variant without a difference found may still "
    "differ by less than that.",
)
"""What the verdicts are, for whoever reads how to read a report."""


def points(difference: float | None) -> str:
    """A difference of accuracies in percentage points: 0.0042 → `+0.42`."""
    if difference is None:
        return MISSING
    text = f"{100 * difference:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text.replace("-", "−")


def size(difference: float | None) -> str:
    """A difference without a sign, in points: 0.0031 → `0.31`."""
    return MISSING if difference is None else f"{100 * abs(difference):.2f}"


def span(low: float | None, high: float | None) -> str:
    """An interval in points: `−0.10 to +0.62`."""
    return "" if low is None or high is None else f"{points(low)} to {points(high)}"


def claim(effect: Effect) -> str:
    """The verdict as a sentence that can be quoted; never "no effect"."""
    pair = f"{effect.variant} against {effect.baseline}"
    if effect.verdict in (Verdict.BETTER, Verdict.WORSE):
        by = f"{effect.variant} is {effect.verdict} than {effect.baseline} by {size(effect.difference)}"
        return f"{by} points ({span(effect.low, effect.high)})."
    if effect.verdict is Verdict.EQUIVALENT:
        return f"{pair}: equivalent within ±{size(effect.margin)} points."
    if effect.verdict is Verdict.IDENTICAL:
        return f"{pair}: identical, every run is right on the same test images."
    if effect.rule is Rule.SEARCHED:
        return f"{pair}: not judged ({could_see(effect)})."
    if effect.difference is None:
        return f"{pair}: no finished run to compare."
    return f"No difference found, {pair} ({could_see(effect)})."


def could_see(effect: Effect) -> str:
    """What an undecided comparison would have seen."""
    if effect.rule is Rule.MCNEMAR:
        return "one run of each says nothing about another seed"
    if effect.rule is Rule.SEARCHED:
        return "its seeds are those that a search chose by"
    if effect.smallest_detectable is None:
        return "too few runs or images to say what could have been seen"
    if effect.smallest_detectable >= effect.room:
        return "these runs could not have seen any difference that accuracy can have"
    return f"could have seen ≥ {size(effect.smallest_detectable)} points"


def could_see_each(found: Sequence[Effect]) -> str:
    """What several undecided comparisons would have seen, of which each can say it."""
    seen = sorted(effect.smallest_detectable or 0.0 for effect in found)
    least, most = size(seen[0]), size(seen[-1])
    return (
        f"No difference found for {len(found)} variants (these runs could have seen ≥ {least} to "
        f"≥ {most} points, depending on the variant)."
    )


def evidence(effect: Effect) -> str:
    """What a verdict stands on."""
    runs = f"n = {effect.n} against {effect.n_baseline}"
    if effect.rule is Rule.MCNEMAR and effect.p is not None:
        differ = f"difference {points(effect.difference)} points, McNemar's p = {effect.p:.2g}"
        return f"{differ}; {runs}: this compares two trained networks, not what another seed gives."
    if effect.rule is Rule.SEARCHED:
        differ = f"Difference {points(effect.difference)} points"
        return (
            f"{differ}; {runs}: a verdict takes fresh seeds, which `confirm` of a [search] trains."
        )
    if effect.low is None:
        return f"{runs}: no interval, which takes two runs or more of each and two test images."
    told = [
        f"Difference {points(effect.difference)} points, 95 % interval {span(effect.low, effect.high)}",
        f"{runs}, {RULES[effect.rule]}",
        could_see(effect),
        _here(effect),
        _seeds(effect),
    ]
    return "; ".join(text for text in told if text) + "."


def _here(effect: Effect) -> str:
    """The narrower question, and how much of the uncertainty more seeds cannot take away."""
    if effect.here is None or effect.spread is None or effect.rule is Rule.SCORES:
        return ""
    share = f"{100 * effect.spread.image_share:.0f} %"
    return f"on these very images {span(*effect.here)}, images are {share} of the variance"


def _seeds(effect: Effect) -> str:
    """How many seeds would see the margin, where this is not yet decided."""
    if effect.verdict is not Verdict.UNDECIDED or effect.spread is None:
        return ""
    needed = effect.seeds_for(effect.margin)
    wanted = f"a difference of {size(effect.margin)} points"
    if needed is None:
        folds = " in these folds" if effect.spread.fold_variance else ""
        return f"no number of seeds sees {wanted} on this many test images{folds}"
    return f"{wanted} takes {needed:,} seeds of each"


def told_folds(folds: int) -> str:
    """What a seed is where there are folds, and what that does to intervals."""
    return (
        f"Every image is tested once: a seed is {folds} trainings, one for each fold, and counts once all "
        "of them have finished, as one run would that was tested on all images. The folds are the same for "
        "all seeds and variants, and overlap in what they are trained on, so that more seeds do not make "
        f"the training images new: what trainings vary by counts 1/n + 1/{folds - 1} times instead of 1/n "
        "(Nadeau and Bengio 2003)."
    )


def reading(found: Iterable[Effect]) -> tuple[str, ...]:
    """How the intervals of these effects came about: a paragraph for each rule that was used."""
    used = dict.fromkeys(effect.rule for effect in found)
    return tuple(EXPLAINED[rule] for rule in Rule if rule in used)


def speed_words(ratio: Ratio) -> str:
    """What follows from a ratio's interval, in the words of every table and sentence; empty without one."""
    match ratio.verdict:
        case "faster" | "slower":
            return str(ratio.verdict)
        case "as fast":
            return f"as fast within {100 * (MARGIN - 1):.0f} %"
        case "undecided":
            return f"no difference in speed found ({speed_could_see(ratio)})"
    if ratio.low is None:
        return "" if ratio.processes is None else "too few processes for an interval"
    return "over the rounds of one process, no verdict"


def speed_could_see(ratio: Ratio) -> str:
    """`could have seen ≥ 4.2 %`, from the smallest ratio that could have been seen; `≥ 2.5×` from 2 on."""
    if ratio.detectable is None:
        return ""
    percent = 100 * (ratio.detectable - 1)
    size = (
        f"{percent:.{0 if percent >= 10 else 1}f} %"
        if percent < 100
        else f"{ratio.detectable:.1f}×"
    )
    return f"could have seen ≥ {size}"
