"""Looking at verdicts: when seeds may be added, and what a report says where they should not have been."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from ablate.stats import Rule, Sample, Verdict, effects
from ablate.stats.looks import (
    ADDED,
    ANYTIME,
    FIXED,
    LOWERED,
    FinishedRun,
    Look,
    exploratory,
    margin_of,
)

FIVE = {"none": 5, "se": 5}


def look(
    day: int, rule: str = FIXED, planned: Mapping[str, int] = FIVE, margin: float | None = None
) -> Look:
    return Look(f"2026-01-{day:02d}T00:00:00.000Z", rule, "report", {}, planned, margin, 1, "")


def runs(seeds: int, day: int) -> list[FinishedRun]:
    return [
        FinishedRun(name, seed, f"2026-01-{day:02d}T00:00:00.000Z")
        for name in FIVE
        for seed in range(1, seeds + 1)
    ]


def test_a_study_may_be_looked_at_half_way_and_end_as_planned() -> None:
    assert exploratory([look(2)], [*runs(2, day=1), *runs(5, day=3)], FIVE) is None
    assert exploratory([], runs(9, day=1), FIVE) is None


def test_what_was_raised_before_the_look_was_planned() -> None:
    nine = {"none": 9, "se": 9}
    assert exploratory([look(2, planned=nine)], runs(9, day=3), nine) is None


def test_seeds_that_were_added_after_a_look_are_told() -> None:
    nine = {"none": 9, "se": 9}
    said = exploratory([look(2), look(4, planned=nine)], runs(6, day=3), nine)
    assert (
        said
        == f"{ADDED.partition(' (')[0]} (on 2026-01-02, when 5 of none were planned; seed 6 came later)"
    )


def test_seeds_beyond_the_plan_that_were_there_before_the_look_are_none() -> None:
    assert exploratory([look(4)], runs(9, day=3), FIVE) is None


def test_a_variant_that_came_later_had_no_look() -> None:
    later = [FinishedRun("cbam", seed, "2026-01-09T00:00:00.000Z") for seed in range(1, 10)]
    assert exploratory([look(2)], later, {**FIVE, "cbam": 9}) is None


def test_fewer_seeds_than_were_planned_are_told() -> None:
    said = exploratory([look(2)], runs(3, day=1), {"none": 3, "se": 3})
    assert said == f"{LOWERED.partition(' (')[0]} (none: 5 were planned, now 3)"


def test_looks_that_hold_at_any_time_excuse_every_seed() -> None:
    assert exploratory([look(2), look(3, ANYTIME)], runs(9, day=5), FIVE) is None


def test_the_margin_is_that_of_the_last_seeds_that_were_added() -> None:
    assert margin_of([], 0.01) == 0.01
    assert margin_of([look(1, FIXED, margin=0.5)], 0.01) == 0.01
    looks = [look(1, ANYTIME, margin=0.02), look(2, ANYTIME, margin=0.03)]
    assert margin_of(looks, 0.01) == 0.03
    assert margin_of([look(1, ANYTIME)], 0.01) == 0.01


def some_bits(seeds: int, arms: int = 4, images: int = 400) -> dict[str, Sample]:
    rng = np.random.default_rng(4)
    chance = rng.beta(8, 1, images)
    names = ["none", *(f"v{arm}" for arm in range(1, arms))]
    better = {"v1": 0.06}
    return {
        name: Sample.of_bits(
            {
                seed: rng.random(images) < np.minimum(1, chance + better.get(name, 0))
                for seed in range(1, seeds + 1)
            }
        )
        for name in names
    }


def first(sample: Sample, seeds: int) -> Sample:
    return Sample.of_bits({seed: bits for seed, bits in sample.correct.items() if seed <= seeds})


def test_the_interval_of_who_stopped_is_the_same_for_ever() -> None:
    """Others go on: who has no later seeds is judged by those that he has, as when he stopped."""
    whole = some_bits(8)
    at_look = effects({n: first(s, 4) for n, s in whole.items()}, "none", looks=True)
    later = {name: first(each, 4) if name == "v1" else each for name, each in whole.items()}
    reported = effects(later, "none", looks=True)
    # But for the room, which is that of all the baseline's runs.
    assert replace(reported["v1"], room=at_look["v1"].room) == at_look["v1"]
    assert reported["v2"].n == 8
    assert at_look["v1"].rule is Rule.ANYTIME


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_decide_nothing_at_a_look(seeds: int) -> None:
    found = effects(some_bits(seeds, images=4000), "none", margin=0.9, looks=True)
    assert {each.verdict for each in found.values()} == {Verdict.UNDECIDED}


def test_without_bits_nothing_holds_at_every_look() -> None:
    values = {"none": Sample.of_values([0.5] * 20), "se": Sample.of_values([0.9, 0.91] * 10)}
    assert effects(values, "none")["se"].verdict is Verdict.BETTER
    assert effects(values, "none", looks=True)["se"].verdict is Verdict.UNDECIDED


def test_looks_have_wider_intervals_than_a_fixed_number_of_seeds() -> None:
    samples = some_bits(6)
    fixed, any_time = (effects(samples, "none", looks=each)["v1"] for each in (False, True))
    assert any_time.low is not None
    assert fixed.low is not None
    assert any_time.low < fixed.low
    assert any_time.p_adjusted is None
