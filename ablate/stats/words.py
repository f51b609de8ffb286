"""What a verdict means, in words. A rule and its wording change together; nobody else words them.

Accuracies come in as fractions. A minus is U+2212, a missing value an en dash.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ablate.stats.effect import Effect, Rule, Verdict, Withheld
from ablate.stats.ratios import MARGIN, Ratio
from ablate.system.messages.language import N_, _

MISSING = "–"

RULES = {
    Rule.BLOCKS: N_("image by image, seeds as blocks"),
    Rule.UNPAIRED: N_("image by image, seeds unpaired"),
    Rule.ANYTIME: N_("image by image, seeds as blocks, valid at every look"),
    Rule.SCORES: N_("from scores alone"),
    Rule.BOOTSTRAP: N_("images drawn again, seeds as blocks"),
    Rule.MCNEMAR: N_("two single runs, McNemar"),
    Rule.SEARCHED: N_("seeds of a search, not judged"),
    Rule.NOTHING: N_("nothing to judge by"),
}
"""Each rule in a few words, beside the number that it gave."""

EXPLAINED = {
    Rule.BLOCKS: N_(
        "The verdict is about new images and new seeds: differences are formed image "
        "by image and seed by seed, and the variance of trainings is moderated over "
        "all variants. The intervals hold together (Dunnett): in 95 % of studies all "
        "of them contain their true difference."
    ),
    Rule.UNPAIRED: N_(
        "Variant and baseline have different seeds, so they are not paired: the "
        "interval is wider than the same number of shared seeds would give."
    ),
    Rule.ANYTIME: N_(
        "Seeds were added until a verdict was reached. These intervals are wider "
        "than those of a fixed number of seeds and hold at every look at once."
    ),
    Rule.SCORES: N_(
        "The bits of the single test images are not there, so other test images are "
        "not accounted for; below eight seeds an interval is given and no verdict."
    ),
    Rule.BOOTSTRAP: N_(
        "The metric is no mean over images: images are drawn again for its "
        "uncertainty, with seeds as blocks."
    ),
    Rule.MCNEMAR: N_(
        "One run of each: McNemar's test compares these two trained networks, and "
        "says nothing about another seed."
    ),
    Rule.SEARCHED: N_(
        "What only a search has trained is not judged: the search chose by these "
        "seeds, and stops bad ones early. A verdict takes fresh seeds, with which it "
        "confirms the best; the two kinds of seeds are never put together."
    ),
    Rule.NOTHING: N_("Verdicts need two finished runs or more of variant and baseline."),
}
"""Each rule in a sentence or two, for whoever reads how to read a report."""

WITHHELD = {
    Withheld.FEW_SEEDS: N_(
        "scores of fewer than eight seeds, without the bits of single images, decide nothing"
    ),
    Withheld.FEW_SHARED: N_(
        "seeds were added until a verdict was reached, and then fewer than three that both have decide "
        "nothing"
    ),
    Withheld.NO_LOOKS: N_(
        "seeds were added until a verdict was reached, and no interval of this kind holds at every look"
    ),
}
"""Why nothing is read off an interval, behind a name and a colon or in brackets."""

DIFFERS = {
    Verdict.BETTER: N_("{variant} is better than {baseline} by {points} points ({interval})."),
    Verdict.WORSE: N_("{variant} is worse than {baseline} by {points} points ({interval})."),
}
VERDICTS = (
    *(N_("better"), N_("worse"), N_("equivalent"), N_("identical"), N_("undecided")),
    *(N_("faster"), N_("slower")),
)
"""The words of a table's cell; in report.json and the database they are what they are here."""

READING = (
    N_(
        "What is said of a difference is read off one interval, in the text, the "
        "table and the figures alike: better or worse where it excludes 0, "
        "equivalent where it lies within the margin, undecided otherwise; identical "
        "where every run is right on the same test images. Variants that have not "
        "finished count in the family."
    ),
    N_(
        "“Could have seen ≥ x points” is the smallest detectable effect: the "
        "difference that would be found in 80 % of studies with these runs and this "
        "spread. A variant without a difference found may still differ by less than "
        "that."
    ),
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
    return "" if low is None or high is None else from_to(points(low), points(high))


def from_to(low: str, high: str) -> str:
    """An interval of any numbers, as they are written: `0.92 to 0.95`."""
    return _("{low} to {high}", low=low, high=high)


def claim(effect: Effect) -> str:
    """The verdict as a sentence that can be quoted; never "no effect"."""
    pair = _("{variant} against {baseline}", variant=effect.variant, baseline=effect.baseline)
    if effect.verdict in DIFFERS:
        return _(
            DIFFERS[effect.verdict],
            variant=effect.variant,
            baseline=effect.baseline,
            points=size(effect.difference),
            interval=span(effect.low, effect.high),
        )
    if effect.verdict is Verdict.EQUIVALENT:
        return _(
            "{pair}: equivalent within ±{margin} points.", pair=pair, margin=size(effect.margin)
        )
    if effect.verdict is Verdict.IDENTICAL:
        return _("{pair}: identical, every run is right on the same test images.", pair=pair)
    if effect.rule is Rule.SEARCHED or effect.withheld is not None:
        return _("{pair}: not judged ({why}).", pair=pair, why=could_see(effect))
    if effect.difference is None:
        return _("{pair}: no finished run to compare.", pair=pair)
    return _("No difference found, {pair} ({could_see}).", pair=pair, could_see=could_see(effect))


def could_see(effect: Effect) -> str:
    """What an undecided comparison would have seen, or why that is not known."""
    if effect.withheld is not None:
        return _(WITHHELD[effect.withheld])
    if effect.rule is Rule.MCNEMAR:
        return _("one run of each says nothing about another seed")
    if effect.rule is Rule.SEARCHED:
        return _("its seeds are those that a search chose by")
    if effect.smallest_detectable is None:
        return _("too few runs or images to say what could have been seen")
    if effect.smallest_detectable >= effect.room:
        return _("these runs could not have seen any difference that there can be")
    return _(
        "could have seen ≥ {points} points",
        points=size(effect.smallest_detectable),
    )


def could_see_each(found: Sequence[Effect]) -> str:
    """What several undecided comparisons would have seen, of which each can say it."""
    seen = sorted(effect.smallest_detectable or 0.0 for effect in found)
    least, most = size(seen[0]), size(seen[-1])
    return _(
        "No difference found for {n} variants (these runs could have seen ≥ {least} "
        "to ≥ {most} points, depending on the variant).",
        n=len(found),
        least=least,
        most=most,
    )


def evidence(effect: Effect) -> str:
    """What a verdict stands on."""
    runs = _("n = {n} against {n_baseline}", n=effect.n, n_baseline=effect.n_baseline)
    if effect.rule is Rule.MCNEMAR and effect.p is not None:
        differ = _(
            "Difference {difference} points, McNemar's p = {p:.2g}",
            difference=points(effect.difference),
            p=effect.p,
        )
        return _(
            "{differ}; {runs}: this compares two trained networks, not what another seed gives.",
            differ=differ,
            runs=runs,
        )
    if effect.rule is Rule.SEARCHED:
        differ = _("Difference {difference} points", difference=points(effect.difference))
        return _(
            "{differ}; {runs}: a verdict takes fresh seeds, which `confirm` of a [search] trains.",
            differ=differ,
            runs=runs,
        )
    if effect.low is None:
        return _(
            "{runs}: no interval, which takes two runs or more of each and two test images.",
            runs=runs,
        )
    told = [
        _(
            "Difference {difference} points, 95 % interval {interval}",
            difference=points(effect.difference),
            interval=span(effect.low, effect.high),
        ),
        _("{runs}, {rule}", runs=runs, rule=_(RULES[effect.rule])),
        could_see(effect),
        _here(effect),
        _seeds(effect),
    ]
    return _("{told}.", told=_("; ").join(text for text in told if text))


def _here(effect: Effect) -> str:
    """The narrower question, and how much of the uncertainty more seeds cannot take away."""
    if effect.here is None or effect.spread is None or effect.rule is Rule.SCORES:
        return ""
    share = f"{100 * effect.spread.image_share:.0f} %"
    return _(
        "on these very images {interval}, images are {share} of the variance",
        interval=span(*effect.here),
        share=share,
    )


def _seeds(effect: Effect) -> str:
    """How many seeds would see the margin, where this is not yet decided."""
    if effect.verdict is not Verdict.UNDECIDED or effect.spread is None:
        return ""
    if effect.withheld is Withheld.NO_LOOKS:
        return ""
    needed = effect.seeds_for(effect.margin)
    margin = size(effect.margin)
    if needed is None:
        folds = _(" in these folds") if effect.spread.fold_variance else ""
        return _(
            "no number of seeds sees a difference of {margin} points on this many test images{folds}",
            margin=margin,
            folds=folds,
        )
    return _(
        "a difference of {margin} points takes {needed:,} seeds of each",
        margin=margin,
        needed=needed,
    )


def told_folds(folds: int) -> str:
    """What a seed is where there are folds, and what that does to intervals."""
    return _(
        "Every image is tested once: a seed is {folds} trainings, one for each fold, and counts once all "
        "of them have finished, as one run would that was tested on all images. The folds are the same for "
        "all seeds and variants, and overlap in what they are trained on, so that more seeds do not make "
        "the training images new: what trainings vary by counts 1/n + 1/{others} times instead of 1/n "
        "(Nadeau and Bengio 2003).",
        folds=folds,
        others=folds - 1,
    )


def reading(found: Iterable[Effect]) -> tuple[str, ...]:
    """How the intervals of these effects came about: a paragraph for each rule that was used."""
    used = dict.fromkeys(effect.rule for effect in found)
    return tuple(_(EXPLAINED[rule]) for rule in Rule if rule in used)


def speed_words(ratio: Ratio) -> str:
    """What follows from a ratio's interval, in the words of every table and sentence; empty without one."""
    match ratio.verdict:
        case "faster" | "slower":
            return _(ratio.verdict)
        case "as fast":
            return _("as fast within {percent:.0f} %", percent=100 * (MARGIN - 1))
        case "undecided":
            return _("no difference in speed found ({could_see})", could_see=speed_could_see(ratio))
    if ratio.low is None:
        return "" if ratio.processes is None else _("too few processes for an interval")
    return _("over the rounds of one process, no verdict")


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
    return _("could have seen ≥ {size}", size=size)
