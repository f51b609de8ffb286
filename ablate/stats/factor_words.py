"""The answers to "which place?" and "which r?" in words; never more than their intervals carry."""

from __future__ import annotations

from dataclasses import dataclass

from ablate.stats.contrasts import Estimate
from ablate.stats.factors import Interaction, InteractionOf, MainEffect
from ablate.stats.matched import Level
from ablate.stats.words import points, size, span

FEW_SCORES = "scores of fewer than eight seeds, without the bits of single images, decide nothing"


MOST_NAMED = 6


@dataclass(frozen=True, slots=True)
class Term:
    """How a factor is asked for and called; `sign` stands before its levels."""

    question: str
    one: str
    many: str
    sign: str = ""


TERMS = {
    "attention": Term("Which kind?", "kind", "kinds"),
    "position": Term("Which place?", "place", "places"),
    "reduction": Term("Which r?", "r", "values of r", "r="),
    "kernel_size": Term("Which kernel size?", "kernel size", "kernel sizes", "k="),
    "backbone": Term("Which backbone?", "backbone", "backbones"),
    "dataset": Term("Which data set?", "data set", "data sets"),
    "variant": Term("Which variant?", "variant", "variants"),
    "recipe": Term("Which recipe?", "recipe", "recipes"),
}
"""Factors that have words of their own; any other is called by its name."""


def term(factor: str) -> Term:
    """The words of a factor."""
    name = factor.replace("_", " ")
    return TERMS.get(factor, Term(f"Which {name}?", name, f"values of {name}", f"{factor}="))


def level_name(factor: str, level: Level) -> str:
    """`pool3`, `r=16`."""
    return f"{term(factor).sign}{level}"


def main_claim(found: MainEffect) -> str:
    """The answer in a sentence."""
    if not all(each.claimable for each in found.levels.values()):
        return f"Which {term(found.factor).one} is best cannot be said: {FEW_SCORES}."
    if len(found.levels) == 2:
        return _claim_of_two(found)
    told = [_extreme(found, found.best, "best"), _extreme(found, found.worst, "worst")]
    told = [text for text in told if text] or _outstanding(found)
    return " ".join(told) or _nothing(found)


def main_evidence(found: MainEffect) -> str:
    """Where the levels were compared."""
    sets = "one matched set" if found.sets == 1 else f"{found.sets} matched sets"
    held = "; ".join(_held(name, levels) for name, levels in found.held.items() if levels)
    within = f" ({held})" if held else ""
    left = ", ".join(level_name(found.factor, level) for level in found.left_out)
    return (
        f"Compared within {sets}{within}, by the rule of the verdicts; the intervals of this question "
        "hold together." + (f" Not compared: {left}." if left else "")
    )


def interaction_claim(found: InteractionOf) -> str:
    """Whether two factors depend on each other, in a sentence."""
    first, second = (term(factor) for factor in found.factors)
    clearest = found.clearest
    if not clearest.estimate.claimable:
        return f"Whether {first.one} and {second.one} interact cannot be said: {FEW_SCORES}."
    if clearest.estimate.above or clearest.estimate.below:
        return _dependence(found.factors, clearest)
    could = could_see([each.estimate for each in found.found])
    return f"No interaction of {first.one} and {second.one} found ({could})."


def could_see(found: list[Estimate]) -> str:
    """What every one of these would have seen."""
    largest = max(each.smallest_detectable for each in found)
    if largest >= 1:
        return "these runs could not have seen any difference that accuracy can have"
    return f"could have seen ≥ {size(largest)} points"


def by_points(estimate: Estimate) -> str:
    """`+0.31 points (+0.05 to +0.57)`."""
    return f"{points(estimate.difference)} points ({span(estimate.low, estimate.high)})"


def _claim_of_two(found: MainEffect) -> str:
    (one, other) = found.levels
    estimate = found.levels[one]
    if not estimate.above and not estimate.below:
        names = f"{level_name(found.factor, one)} and {level_name(found.factor, other)}"
        return f"No difference found between {names} ({could_see([estimate])})."
    better, worse = (one, other) if estimate.above else (other, one)
    names = f"{level_name(found.factor, better)} is better than {level_name(found.factor, worse)}"
    return f"{names}: {by_points(found.levels[better])}."


def _extreme(found: MainEffect, level: Level | None, word: str) -> str:
    if level is None:
        return ""
    name, many = level_name(found.factor, level), term(found.factor).many
    many = f"{many} that could be compared" if found.left_out else many
    return f"{name} is the {word} of the {many}: {_to_mean(found, level)}."


def _outstanding(found: MainEffect) -> list[str]:
    """Levels that differ from the mean of the others, without being better or worse than each."""
    above = [level for level, each in found.levels.items() if each.above]
    below = [level for level, each in found.levels.items() if each.below]
    ranked = sorted(found.levels, key=lambda level: -found.levels[level].difference)
    told = [
        _side(found, [level for level in ranked if level in above], "above"),
        _side(found, [level for level in reversed(ranked) if level in below], "below"),
    ]
    told = [text for text in told if text]
    return [*told, f"Which {term(found.factor).one} is best is not decided."] if told else []


def _side(found: MainEffect, levels: list[Level], word: str) -> str:
    """The level that is furthest on one side, and how many more are there."""
    if not levels:
        return ""
    more = f", and so {'is one' if len(levels) == 2 else f'are {len(levels) - 1}'} more"
    return (
        f"{level_name(found.factor, levels[0])} is {word} the mean of the other "
        f"{term(found.factor).many}: {by_points(found.levels[levels[0]])}"
        f"{more if len(levels) > 1 else ''}."
    )


def _nothing(found: MainEffect) -> str:
    pair = next((pair for pair, each in found.pairs.items() if each.above or each.below), None)
    if pair is None:
        could = could_see(list(found.levels.values()))
        return f"No {term(found.factor).one} stands out ({could})."
    better, worse = pair if found.pairs[pair].above else pair[::-1]
    told = found.pair(better, worse) or found.pairs[pair]
    return (
        f"{level_name(found.factor, better)} is better than {level_name(found.factor, worse)}: "
        f"{by_points(told)}. Which {term(found.factor).one} is best is not decided."
    )


def _to_mean(found: MainEffect, level: Level) -> str:
    estimate = found.levels[level]
    return (
        f"{points(estimate.difference)} points to the mean of the others "
        f"({span(estimate.low, estimate.high)}), decided against each of them"
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
    return (
        f"{names[0]} against {names[1]} makes {size(estimate.difference)} points more at {at[0]} "
        f"than at {at[1]} ({span(estimate.low, estimate.high)})."
    )
