"""Which runs come next when seeds are added until every variant is decided: from the results alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from ablate.drive.deciding import Question, last_look, next_block
from ablate.stats import Rule, Sample, Verdict, effects
from ablate.store.reading.samples import Standing

IMAGES = 3000
GAINS = {"none": 0.0, "better": 0.04, "same": 0.0, "other": 0.002, "twin": 0.0}
MARGIN = 0.006
QUESTION = Question(("better", "same", "other", "twin"), "none", MARGIN, max_seeds=12)


def bits(name: str, seed: int) -> np.ndarray:
    """What a run of that variant and seed gets right: the seed decides most of it, for all alike."""
    shared = np.random.default_rng([7, seed]).random(IMAGES)
    own = np.random.default_rng([8, seed, len(name)]).random(IMAGES) < 0.03
    chance = np.random.default_rng(9).beta(12, 1, IMAGES) + GAINS[name]
    right = shared < chance
    return right if name in ("none", "twin") else right ^ (own & (shared > 0.8))


class Results:
    """Runs that have ended, and what the database would say of them."""

    def __init__(self) -> None:
        self.finished: dict[str, dict[int, np.ndarray]] = {name: {} for name in GAINS}
        self.failed: dict[str, set[int]] = {}

    def train(self, seed: int, name: str, *, fails: bool = False) -> None:
        if fails:
            self.failed.setdefault(name, set()).add(seed)
        else:
            self.finished[name][seed] = bits(name, seed)

    @property
    def standing(self) -> Standing:
        samples = {name: Sample.of_bits(each) for name, each in self.finished.items()}
        return Standing(samples, {name: frozenset(each) for name, each in self.failed.items()})

    def block(self, question: Question = QUESTION) -> list[tuple[int, str]]:
        """What is missing of the next block."""
        places = next_block(question, last_look(question, self.standing))
        return [(s, name) for s, name in places if s not in self.standing.over(name)]


def all_trained(question: Question = QUESTION) -> tuple[Results, list[list[tuple[int, str]]]]:
    results, blocks = Results(), []
    while block := results.block(question):
        blocks.append(block)
        for place in block:
            results.train(*place)
    return results, blocks


def test_three_seeds_of_everything_come_first_then_one_of_who_is_open() -> None:
    results, blocks = all_trained()
    everyone = list(GAINS)
    assert blocks[0] == [(seed, name) for seed in (1, 2, 3) for name in everyone]
    for earlier, later in pairwise(blocks[1:]):
        assert later[0] == (earlier[0][0] + 1, "none"), "the baseline has a run in every block"
        assert {name for _, name in later} <= {name for _, name in earlier}
    assert len(blocks) > 2
    judged = last_look(QUESTION, results.standing)
    assert judged.effects["better"].verdict is Verdict.BETTER
    assert judged.effects["twin"].verdict is Verdict.IDENTICAL
    assert judged.effects["twin"].n == 3, "identical variants are decided at once"


def test_what_was_decided_is_found_again_from_the_data_alone() -> None:
    """A report is made later, from everything that is there: it says what the looks said."""
    results, looked = Results(), {}
    while block := results.block():
        for place in block:
            results.train(*place)
        judged = last_look(QUESTION, results.standing)
        for name, effect in judged.effects.items():
            if name not in judged.open and name not in looked:
                looked[name] = (effect.verdict, effect.n, effect.low, effect.high)
    reported = effects(results.standing.samples, "none", MARGIN, looks=True)
    found = {n: (e.verdict, e.n, e.low, e.high) for n, e in reported.items() if e.decided}
    assert found == {name: each for name, each in looked.items() if name in found}
    assert set(looked) >= {"better", "twin", "same"}
    assert reported["better"].rule is Rule.ANYTIME
    assert reported["better"].n < max(each.n for each in reported.values())


def test_whoever_goes_on_after_a_crash_goes_on_in_the_same_way() -> None:
    """Cut off after any run, in any order: what is left of the block, and nothing else."""
    _, blocks = all_trained()
    results = Results()
    for block in blocks:
        left = list(block)
        for place in reversed(block):
            assert results.block() == left
            results.train(*place)
            left.remove(place)
    assert results.block() == []


def test_the_most_seeds_are_the_end() -> None:
    few = Question(QUESTION.variants, "none", 1e-6, max_seeds=4)
    results, blocks = all_trained(few)
    assert [block[0][0] for block in blocks] == [1, 4]
    assert last_look(few, results.standing).open == ("same", "other")
    more = Question(QUESTION.variants, "none", 1e-6, max_seeds=5)
    assert {seed for seed, _ in results.block(more)} == {5}


def test_a_seed_that_failed_holds_nobody_up() -> None:
    results = Results()
    for seed, name in results.block():
        results.train(seed, name, fails=(seed, name) == (2, "other"))
    judged = last_look(QUESTION, results.standing)
    assert judged.seeds == 3
    assert "other" in judged.open
    assert judged.effects["other"].n == 2
    assert (4, "other") in results.block()


def test_a_variant_that_always_fails_is_given_up() -> None:
    results = Results()
    for seed, name in results.block():
        results.train(seed, name, fails=name == "other")
    judged = last_look(QUESTION, results.standing)
    assert judged.given_up == ("other",)
    assert "other" not in judged.open
    while block := results.block():
        assert "other" not in {name for _, name in block}
        for place in block:
            results.train(*place)


def test_without_a_baseline_everybody_is_given_up() -> None:
    results = Results()
    for seed, name in results.block():
        results.train(seed, name, fails=name == "none")
    judged = last_look(QUESTION, results.standing)
    assert judged.given_up == QUESTION.variants
    assert results.block() == []


@pytest.mark.parametrize("seeds", [4, 12])
def test_seeds_that_are_there_are_used_before_any_is_added(seeds: int) -> None:
    """A study of a fixed number of seeds goes on from all of them."""
    results = Results()
    for seed in range(1, seeds + 1):
        for name in GAINS:
            results.train(seed, name)
    judged = last_look(QUESTION, results.standing)
    assert judged.seeds == seeds
    assert {each.n for each in judged.effects.values()} == {seeds}
    assert {seed for seed, _ in results.block()} <= {seeds + 1}


@pytest.mark.parametrize("seeds", [4, 6, 9])
@pytest.mark.parametrize("ahead", ["better", "same", "other"])
def test_runs_that_another_study_has_trained_are_judged_as_a_report_does(
    ahead: str, seeds: int
) -> None:
    """Whoever is ahead is judged by all that is there, not by the seeds that the others have, too."""
    results = Results()
    for seed in range(1, seeds + 1):
        for name in ("none", ahead):
            results.train(seed, name)
    assert {seed for seed, _ in results.block()} == {1, 2, 3}
    while block := results.block():
        for place in block:
            results.train(*place)
        judged = last_look(QUESTION, results.standing)
        reported = effects(results.standing.samples, "none", MARGIN, looks=True)
        assert judged.effects == reported
        assert judged.effects[ahead].n >= seeds
        assert {name for name, each in reported.items() if not each.decided} == set(judged.open)
