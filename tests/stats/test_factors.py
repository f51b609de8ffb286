"""Factors are compared within matched sets, err no more than promised, and claim no more than they show."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from support.worlds import make_samples

from ablate.errors import OptionError
from ablate.stats import Sample, contrasts, effects
from ablate.stats.arms import Arms, gather
from ablate.stats.contrasts import Estimate, estimates
from ablate.stats.effect import Withheld
from ablate.stats.factor_words import interaction_claim, main_claim, main_evidence
from ablate.stats.factors import MainEffect, interactions, main_effects
from ablate.stats.front import all_pairs, dominated, front_claim
from ablate.stats.matched import Table, compare, factors_of, levels_of
from ablate.stats.shapley import shapley_estimates, shapley_values, shapley_weights, subsets

TABLE: Table = {
    f"{kind}({place}, r={r})": {"attention": kind, "position": place, "reduction": r}
    for kind in ("se", "gate")
    for place in ("pool1", "pool2", "pool3")
    for r in (4, 16)
}


def arms_of(samples: dict[str, Sample]) -> Arms:
    found = gather(samples)
    assert found is not None
    return found


def main(arms: Arms, table: Table, factor: str) -> MainEffect:
    return next(each for each in main_effects(arms, table) if each.factor == factor)


# ── matched sets ──────────────────────────────────────────────────────────────────────────────────


def test_levels_are_compared_only_where_all_else_is_equal() -> None:
    table = {
        "a": {"place": 1, "r": 4}, "b": {"place": 2, "r": 4}, "c": {"place": 2, "r": 16},
        "d": {"place": 1, "r": 8},
    }  # fmt: skip
    found = compare(table, [{"place": 1}, {"place": 2}], [1, -1])
    assert found is not None
    assert (found.weights, found.sets) == ({"a": 1.0, "b": -1.0}, 1)
    assert compare(table, [{"r": 8}, {"r": 16}], [1, -1]) is None


def test_an_option_that_only_one_kind_has_is_averaged_over() -> None:
    table = {
        "se": {"kind": "se", "r": 16}, "cbam3": {"kind": "cbam", "r": 16, "k": 3},
        "cbam7": {"kind": "cbam", "r": 16, "k": 7}, "other": {"kind": "cbam", "r": 4, "k": 7},
    }  # fmt: skip
    found = compare(table, [{"kind": "se"}, {"kind": "cbam"}], [1, -1])
    assert found is not None
    assert found.weights == {"se": 1.0, "cbam3": -0.5, "cbam7": -0.5}


def test_any_column_is_a_factor_and_numbers_are_in_their_order() -> None:
    table = {"a": {"recipe": "long", "r": 16}, "b": {"recipe": "short", "r": 4}}
    assert factors_of(table) == ["recipe", "r"]
    assert levels_of(table, "r") == [4, 16]
    assert levels_of(table, "recipe") == ["long", "short"]


def test_main_effects_and_interactions_are_those_of_the_means() -> None:
    """Against the plain formulas on a complete grid."""
    samples = make_samples(np.random.default_rng(1), list(TABLE), seeds=4, images=80)
    arms, mean = arms_of(samples), {name: s.mean or 0.0 for name, s in samples.items()}
    by_place = {
        place: np.mean([mean[n] for n, row in TABLE.items() if row["position"] == place])
        for place in ("pool1", "pool2", "pool3")
    }
    found = main(arms, TABLE, "position")
    assert found.sets == 4
    assert found.levels["pool1"].difference == pytest.approx(
        by_place["pool1"] - (by_place["pool2"] + by_place["pool3"]) / 2
    )
    assert found.pairs["pool1", "pool3"].difference == pytest.approx(
        by_place["pool1"] - by_place["pool3"]
    )
    together = {each.factors: each for each in interactions(arms, TABLE)}
    square = next(
        e
        for e in together["attention", "reduction"].found
        if (e.levels, e.at) == (("se", "gate"), (4, 16))
    )
    cell = {
        (kind, r): np.mean([mean[f"{kind}({place}, r={r})"] for place in by_place])
        for kind in ("se", "gate") for r in (4, 16)
    }  # fmt: skip
    expected = cell["se", 4] - cell["gate", 4] - cell["se", 16] + cell["gate", 16]
    assert square.estimate.difference == pytest.approx(expected)


# ── the interval ──────────────────────────────────────────────────────────────────────────────────


def test_contrasts_to_a_baseline_are_the_effects() -> None:
    """The same errors, and Dunnett's constant found by simulation."""
    names = ["none", *"abcdefghi"]
    samples = make_samples(np.random.default_rng(2), names, seeds=5, ratio=2.0)
    found = estimates(arms_of(samples), [{name: 1.0, "none": -1.0} for name in names[1:]])
    for name, each in zip(names[1:], found, strict=True):
        theirs = effects(samples, "none")[name]
        assert theirs.spread is not None
        assert theirs.critical is not None
        assert each.difference == pytest.approx(theirs.difference)
        assert each.error == pytest.approx(theirs.spread.error, rel=1e-6)
        assert each.critical == pytest.approx(theirs.critical, abs=0.03)


def test_what_is_planned_counts_and_looks_cost() -> None:
    samples = make_samples(np.random.default_rng(3), ["a", "b", "c"], seeds=5)
    wanted = [{"a": 1.0, "b": -1.0}, {"a": 1.0, "c": -1.0}]
    now, planned, looked = (
        estimates(arms_of(samples), wanted, **how)[0].critical
        for how in ({}, {"planned": 20}, {"looks": True})
    )
    assert now < planned < looked


def test_equal_arms_have_an_interval_as_narrow_as_the_images_allow() -> None:
    bits = {seed: np.arange(200) % 7 > 0 for seed in (1, 2, 3)}
    (found,) = estimates(
        arms_of({"a": Sample.of_bits(bits), "b": Sample.of_bits(bits)}), [{"a": 1.0, "b": -1.0}]
    )
    assert found.difference == 0
    assert not found.above
    assert not found.below
    assert 1 / 200 < found.half < 10 / 200


@pytest.mark.parametrize(("seeds", "claimable"), [(5, False), (8, True)])
def test_scores_of_few_seeds_claim_nothing(seeds: int, claimable: bool) -> None:
    rng = np.random.default_rng(4)
    table = {f"p{i}": {"position": f"p{i}"} for i in range(3)}
    samples = {
        name: Sample.of_values(rng.normal(0.8 + 0.1 * (name == "p2"), 0.001, seeds).tolist())
        for name in table
    }
    found = main(arms_of(samples), table, "position")
    assert (found.best == "p2") == claimable
    assert ("p2 is the best of the places" in main_claim(found)) == claimable
    assert ("fewer than eight seeds" in main_claim(found)) != claimable


def test_without_bits_nothing_is_decided_where_seeds_were_added_until_something_was() -> None:
    rng = np.random.default_rng(4)
    table = {f"p{i}": {"position": f"p{i}"} for i in range(3)}
    samples = {
        name: Sample.of_values(rng.normal(0.7 + 0.2 * (name == "p2"), 0.001, 12).tolist())
        for name in table
    }
    (found,) = main_effects(arms_of(samples), table, looks=True)
    assert found.levels["p2"].low > 0, "far from 0 for all that"
    assert found.best is found.worst is None
    assert "holds at every look" in main_claim(found)
    assert not dominated(all_pairs(arms_of(samples), list(table), looks=True), lambda *_: True)


def test_two_seeds_decide_nothing_at_a_look() -> None:
    samples = make_samples(np.random.default_rng(1), ["a", "b"], seeds=2, shifts={"a": 3.0})
    (found,) = estimates(arms_of(samples), [{"a": 1.0, "b": -1.0}], looks=True)
    assert found.withheld is Withheld.FEW_SHARED


@pytest.mark.parametrize(("bounds", "most"), [((0.0, 1.0), 1.0), ((-1.0, 1.0), 2.0)])
def test_the_room_of_a_contrast_is_that_of_the_metric(
    bounds: tuple[float, float], most: float
) -> None:
    samples = {
        name: replace(each, bounds=bounds)
        for name, each in make_samples(np.random.default_rng(1), list("abcd"), seeds=3).items()
    }
    pair, square = estimates(
        arms_of(samples),
        [{"a": 1.0, "b": -1.0}, {"a": 1.0, "b": -1.0, "c": -1.0, "d": 1.0}],
    )
    assert (pair.room, square.room) == (most, 2 * most)


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [1.0, 3.0])
def test_no_more_than_five_percent_of_questions_find_what_is_not_there(
    ratio: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By question, over studies of three seeds without any effect on new images."""
    monkeypatch.setattr(contrasts, "DRAWS", 5_000)
    table = {name: row for name, row in TABLE.items() if row["attention"] == "se"}
    studies, wrong = 150, dict.fromkeys(("position", "reduction", "both"), 0)
    for number in range(studies):
        rng = np.random.default_rng([5, number])
        arms = arms_of(make_samples(rng, list(table), seeds=3, images=200, ratio=ratio))
        for each in main_effects(arms, table):
            wrong[each.factor] += any(map(_claims, [*each.levels.values(), *each.pairs.values()]))
        for both in interactions(arms, table):
            wrong["both"] += any(_claims(each.estimate) for each in both.found)
    most = 0.05 + 2 * np.sqrt(0.05 * 0.95 / studies)
    assert {factor: n / studies for factor, n in wrong.items() if n / studies > most} == {}


def _claims(estimate: Estimate) -> bool:
    return estimate.above or estimate.below


def test_a_place_that_is_best_is_found() -> None:
    table = {name: row for name, row in TABLE.items() if row["attention"] == "se"}
    shifts = {name: 1.5 for name, row in table.items() if row["position"] == "pool3"}
    found = 0
    for number in range(20):
        rng = np.random.default_rng([6, number])
        samples = make_samples(rng, list(table), seeds=5, images=600, shifts=shifts)
        found += main(arms_of(samples), table, "position").best == "pool3"
    assert found >= 18


# ── sentences ─────────────────────────────────────────────────────────────────────────────────────


def estimate(difference: float, error: float = 0.001) -> Estimate:
    return Estimate(difference, error, 100.0, 2.4)


def answer(**means: float) -> MainEffect:
    """An answer as if each level had this mean."""
    names = list(means)
    levels = {
        n: estimate(means[n] - np.mean([m for o, m in means.items() if o != n])) for n in names
    }
    pairs = {(a, b): estimate(means[a] - means[b]) for a, b in itertools.combinations(names, 2)}
    return MainEffect("position", levels, pairs, 2, {"attention": ("se",), "reduction": (4, 16)})


def test_the_best_is_claimed_only_if_it_beats_each_of_the_others() -> None:
    clear = main_claim(answer(pool1=0.80, pool2=0.801, pool3=0.81))
    assert clear.startswith(
        "pool3 is the best of the places: +0.95 points to the mean of the others ("
    )
    tie = main_claim(answer(pool1=0.80, pool2=0.8095, pool3=0.8100))
    assert "best of" not in tie
    assert "pool1 is the worst of the places: −0.97 points" in tie
    near = answer(pool1=0.805, pool2=0.8095, pool3=0.81, pool4=0.805)
    assert near.best is None
    assert "pool3 is above the mean of the other places" in main_claim(near)
    assert main_claim(near).endswith("Which place is best is not decided.")


def test_nothing_found_says_what_could_have_been_seen() -> None:
    none = answer(pool1=0.8, pool2=0.8001, pool3=0.8002)
    assert main_claim(none).startswith("No place stands out (could have seen ≥ 0.")
    assert main_evidence(none).startswith("Compared within 2 matched sets (se; r=4, 16)")


def test_levels_without_runs_are_named_and_not_beaten() -> None:
    rng = np.random.default_rng(7)
    table = {f"p{i}": {"position": f"p{i}"} for i in range(4)}
    shifts = {"p2": 4.0}
    samples = make_samples(rng, ["p0", "p1", "p2"], seeds=5, images=600, shifts=shifts)
    found = main(arms_of(samples), table, "position")
    assert found.left_out == ("p3",)
    assert main_claim(found).startswith("p2 is the best of the places that could be compared: ")
    assert main_evidence(found).endswith("Not compared: p3.")


def test_an_interaction_is_told_the_way_it_is_positive() -> None:
    table = {name: row for name, row in TABLE.items() if row["position"] == "pool1"}
    shifts = {"gate(pool1, r=4)": 3.0}
    samples = make_samples(
        np.random.default_rng(8), list(table), seeds=5, images=600, shifts=shifts
    )
    (both,) = interactions(arms_of(samples), table)
    claim = interaction_claim(both)
    assert claim.startswith("se against gate makes ")
    assert " points more at r=16 than at r=4 (+" in claim


# ── Shapley values ────────────────────────────────────────────────────────────────────────────────


def test_shapley_values_of_a_game_by_hand() -> None:
    """Two players who are worth 1 and 2 alone and 5 together share what they make together."""
    worth = {frozenset[str](): 0.0, frozenset("a"): 1.0, frozenset("b"): 2.0, frozenset("ab"): 5.0}
    assert shapley_values(worth) == pytest.approx({"a": 2.0, "b": 3.0})


@pytest.mark.parametrize("places", [2, 3, 4])
def test_shares_add_up_to_all_places_and_none(places: int) -> None:
    players = [f"pool{i}" for i in range(places)]
    rng = np.random.default_rng(9)
    placed = {each: "+".join(sorted(each)) or "none" for each in subsets(players)}
    arms = arms_of(make_samples(rng, list(placed.values()), seeds=3, images=150))
    found = shapley_estimates(arms, placed)
    mean = dict(zip(arms.names, arms.means, strict=True))
    whole = mean["+".join(players)] - mean["none"]
    assert sum(each.difference for each in found.values()) == pytest.approx(whole, abs=1e-12)
    times = {each: float(rng.random()) for each in placed}
    added = sum(shapley_values(times).values())
    assert added == pytest.approx(times[frozenset(players)] - times[frozenset()], abs=1e-12)
    for weights in shapley_weights(players).values():
        assert sum(weights.values()) == pytest.approx(0, abs=1e-12)


def test_shapley_values_need_every_subset() -> None:
    with pytest.raises(OptionError, match="all 4 subsets, 1 are missing"):
        shapley_values({frozenset[str](): 0.0, frozenset("a"): 1.0, frozenset("ab"): 5.0})


# ── fronts ────────────────────────────────────────────────────────────────────────────────────────


def test_dominated_only_where_both_are_decided() -> None:
    names = ["good", "bad", "unsure"]
    samples = make_samples(
        np.random.default_rng(10), names, seeds=6, images=800, shifts={"good": 2.0, "unsure": 1.9}
    )
    pairs = all_pairs(arms_of(samples), names)
    assert pairs["good", "bad"].above
    assert pairs["bad", "good"].below
    assert not pairs["good", "unsure"].above
    everywhere = dominated(pairs, lambda one, other: one == "good")
    assert everywhere == {"bad": "good"}
    assert dominated(pairs, lambda one, other: False) == {}
    assert (
        front_claim(everywhere, "speed")
        == "Dominated by accuracy and speed, both decided: bad (by good)."
    )
    assert "no variant is shown to be dominated" in front_claim({}, "speed")
