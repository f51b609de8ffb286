"""The answers to "which place?" and "which r?" in words; never more than their intervals carry."""

from __future__ import annotations

from dataclasses import dataclass

from ablate.stats.contrasts import Estimate
from ablate.stats.factors import Interaction, InteractionOf, MainEffect
from ablate.stats.matched import Level
from ablate.stats.words import WITHHELD, points, size, span
from ablate.system.messages.language import ENGLISH, N_, _, language, noun

BEST = N_("{name} is the best of the {many}: {told}.")
WORST = N_("{name} is the worst of the {many}: {told}.")
ABOVE = N_("{name} is above the mean of the other {many}: {told}{more}.")
BELOW = N_("{name} is below the mean of the other {many}: {told}{more}.")
MOST_NAMED = 6


@dataclass(frozen=True, slots=True)
class Term:
    """How a factor is asked for and called; `sign` stands before its levels."""

    question: str
    one: str
    many: str
    sign: str = ""


def _terms() -> dict[str, Term]:
    """Factors that have words of their own; any other is called by its name."""
    return {
        "attention": Term(_("Which kind?"), noun("kind"), noun("kinds")),
        "position": Term(_("Which place?"), noun("place"), noun("places")),
        "reduction": Term(_("Which r?"), "r", noun("values of r"), "r="),
        "kernel_size": Term(
            _("Which kernel size?"), noun("kernel size"), noun("kernel sizes"), "k="
        ),
        "backbone": Term(_("Which backbone?"), noun("backbone"), noun("backbones")),
        "dataset": Term(_("Which data set?"), noun("data set"), noun("data sets")),
        "variant": Term(_("Which variant?"), noun("variant"), noun("variants")),
        "recipe": Term(_("Which recipe?"), noun("recipe"), noun("recipes")),
    }


def term(factor: str) -> Term:
    """The words of a factor."""
    name = factor.replace("_", " ") if language() == ENGLISH else factor
    other = Term(
        _("Which {name}?", name=name), name, _("values of {name}", name=name), f"{factor}="
    )
    return _terms().get(factor, other)


def level_name(factor: str, level: Level) -> str:
    """`pool3`, `r=16`."""
    return f"{term(factor).sign}{level}"


def main_claim(found: MainEffect) -> str:
    """The answer in a sentence."""
    withheld = next((each.withheld for each in found.levels.values() if each.withheld), None)
    if withheld is not None:
        return _(
            "Which {one} is best cannot be said: {why}.",
            one=term(found.factor).one,
            why=_(WITHHELD[withheld]),
        )
    if len(found.levels) == 2:
        return _claim_of_two(found)
    told = [_extreme(found, found.best, BEST), _extreme(found, found.worst, WORST)]
    told = [text for text in told if text] or _outstanding(found)
    return " ".join(told) or _nothing(found)


def main_evidence(found: MainEffect) -> str:
    """Where the levels were compared."""
    sets = _("one matched set") if found.sets == 1 else _("{sets} matched sets", sets=found.sets)
    held = "; ".join(_held(name, levels) for name, levels in found.held.items() if levels)
    within = f" ({held})" if held else ""
    left = ", ".join(level_name(found.factor, level) for level in found.left_out)
    return _(
        "Compared within {sets}{within}, by the rule of the verdicts; the intervals "
        "of this question hold together.",
        sets=sets,
        within=within,
    ) + (_(" Not compared: {left}.", left=left) if left else "")


def interaction_claim(found: InteractionOf) -> str:
    """Whether two factors depend on each other, in a sentence."""
    first, second = (term(factor) for factor in found.factors)
    clearest = found.clearest
    if clearest.estimate.withheld is not None:
        return _(
            "Whether {first} and {second} interact cannot be said: {why}.",
            first=first.one,
            second=second.one,
            why=_(WITHHELD[clearest.estimate.withheld]),
        )
    if clearest.estimate.above or clearest.estimate.below:
        return _dependence(found.factors, clearest)
    could = could_see([each.estimate for each in found.found])
    return _(
        "No interaction of {first} and {second} found ({could}).",
        first=first.one,
        second=second.one,
        could=could,
    )


def could_see(found: list[Estimate]) -> str:
    """What every one of these would have seen."""
    seen = [each.smallest_detectable for each in found]
    if any(least >= each.room for least, each in zip(seen, found, strict=True)):
        return _("these runs could not have seen any difference that there can be")
    return _("could have seen ≥ {points} points", points=size(max(seen)))


def by_points(estimate: Estimate) -> str:
    """`+0.31 points (+0.05 to +0.57)`."""
    return _(
        "{difference} points ({interval})",
        difference=points(estimate.difference),
        interval=span(estimate.low, estimate.high),
    )


def _claim_of_two(found: MainEffect) -> str:
    (one, other) = found.levels
    estimate = found.levels[one]
    if not estimate.above and not estimate.below:
        return _(
            "No difference found between {one} and {other} ({could_see}).",
            one=level_name(found.factor, one),
            other=level_name(found.factor, other),
            could_see=could_see([estimate]),
        )
    better, worse = (one, other) if estimate.above else (other, one)
    return _(
        "{better} is better than {worse}: {told}.",
        better=level_name(found.factor, better),
        worse=level_name(found.factor, worse),
        told=by_points(found.levels[better]),
    )


def _extreme(found: MainEffect, level: Level | None, message: str) -> str:
    if level is None:
        return ""
    name, many = level_name(found.factor, level), term(found.factor).many
    many = _("{many} that could be compared", many=many) if found.left_out else many
    return _(message, name=name, many=many, told=_to_mean(found, level))


def _outstanding(found: MainEffect) -> list[str]:
    """Levels that differ from the mean of the others, without being better or worse than each."""
    above = [level for level, each in found.levels.items() if each.above]
    below = [level for level, each in found.levels.items() if each.below]
    ranked = sorted(found.levels, key=lambda level: -found.levels[level].difference)
    told = [
        _side(found, [level for level in ranked if level in above], ABOVE),
        _side(found, [level for level in reversed(ranked) if level in below], BELOW),
    ]
    told = [text for text in told if text]
    return (
        [*told, _("Which {one} is best is not decided.", one=term(found.factor).one)]
        if told
        else []
    )


def _side(found: MainEffect, levels: list[Level], message: str) -> str:
    """The level that is furthest on one side, and how many more are there."""
    if not levels:
        return ""
    others = len(levels) - 1
    several = _(", and so are {n} more", n=others) if others > 1 else ""
    return _(
        message,
        name=level_name(found.factor, levels[0]),
        many=term(found.factor).many,
        told=by_points(found.levels[levels[0]]),
        more=_(", and so is one more") if others == 1 else several,
    )


def _nothing(found: MainEffect) -> str:
    pair = next((pair for pair, each in found.pairs.items() if each.above or each.below), None)
    if pair is None:
        could = could_see(list(found.levels.values()))
        return _("No {one} stands out ({could}).", one=term(found.factor).one, could=could)
    better, worse = pair if found.pairs[pair].above else pair[::-1]
    told = found.pair(better, worse) or found.pairs[pair]
    return _(
        "{better} is better than {worse}: {told}. Which {one} is best is not decided.",
        better=level_name(found.factor, better),
        worse=level_name(found.factor, worse),
        told=by_points(told),
        one=term(found.factor).one,
    )


def _to_mean(found: MainEffect, level: Level) -> str:
    estimate = found.levels[level]
    return _(
        "{difference} points to the mean of the others ({interval}), decided against each of them",
        difference=points(estimate.difference),
        interval=span(estimate.low, estimate.high),
    )


def _held(factor: str, levels: tuple[Level, ...]) -> str:
    more = ", …" if len(levels) > MOST_NAMED else ""
    return term(factor).sign + ", ".join(map(str, levels[:MOST_NAMED])) + more


def _dependence(factors: tuple[str, str], found: Interaction) -> str:
    (one, other), (here, there) = found.levels, found.at
    estimate = found.estimate
    if estimate.below:
        here, there, estimate = there, here, estimate.turned
    names = [level_name(factors[0], level) for level in (one, other)]
    at = [level_name(factors[1], level) for level in (here, there)]
    return _(
        "{one} against {other} makes {difference} points more at {here} than at {there} ({interval}).",
        one=names[0],
        other=names[1],
        difference=size(estimate.difference),
        here=at[0],
        there=at[1],
        interval=span(estimate.low, estimate.high),
    )
