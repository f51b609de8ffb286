"""The seeds of a grid, of a search and of its confirmation are never put together."""

from dataclasses import replace

import numpy as np
import pytest

from ablate.stats import Rule, Sample, Verdict, effects
from ablate.stats.arms import gather
from ablate.stats.fresh import Kinds, Seeds, by_kind
from ablate.stats.words import claim, evidence, reading
from benchmarks.worlds import World

LAST = 1000


def study(seeds: int = 3, fresh: int = 5, effect: float = 0.0) -> dict[str, Sample]:
    """The baseline "0" and the variants "1" to "3", with the seeds of a search and fresh ones."""
    world = World(arms=4, seeds=seeds + fresh, own_images=0.0, effect=effect)
    numbers = [*range(1, seeds + 1), *range(LAST + 1, LAST + fresh + 1)]
    whole = world.study(np.random.default_rng(3))
    return {
        name: Sample.of_bits(dict(zip(numbers, sample.correct.values(), strict=True)))
        for name, sample in whole.items()
    }


def found(samples: dict[str, Sample], grid: tuple[str, ...] = ("0",)) -> Kinds:
    return by_kind(samples, "0", grid, LAST)


def picked(*names: str) -> dict[str, Sample]:
    """A study whose search has confirmed these alone."""
    whole = study()
    usual = {name: sample.only(range(LAST)) for name, sample in whole.items()}
    return {**usual, "0": whole["0"], **{name: whole[name] for name in names}}


def test_a_pick_is_judged_by_fresh_seeds_alone() -> None:
    samples = picked("1")
    kinds = found(samples)
    told = kinds.effects()
    assert (told["1"].n, told["1"].n_baseline, told["1"].rule) == (5, 5, Rule.BLOCKS)
    alone = {name: samples[name].only(range(1001, 1006)) for name in ("0", "1")}
    assert told["1"] == effects(alone, "0")["1"], "what the search saw changes nothing"


def test_however_lucky_a_pick_was_its_verdict_stays() -> None:
    """Twenty points by luck, over the seeds that it was picked by."""
    samples = picked("1")
    lucky = {s: np.ones(1797, dtype=bool) for s in (1, 2, 3)}
    changed = {**samples, "1": Sample.of_bits({**samples["1"].correct, **lucky})}
    assert found(changed).effects()["1"] == found(samples).effects()["1"]


def test_what_only_the_search_has_trained_is_not_judged() -> None:
    told = found(picked("1")).effects()["2"]
    assert (told.rule, told.verdict, told.low) == (Rule.SEARCHED, Verdict.UNDECIDED, None)
    assert told.smallest_detectable is None
    assert "not judged (its seeds are those that a search chose by)" in claim(told)
    assert "fresh seeds" in evidence(told)
    assert "never put together" in reading([told])[0]


def test_what_only_the_search_has_trained_is_not_judged_where_the_grid_is_missing() -> None:
    samples = picked("1")
    samples["0"] = samples["0"].only(range(1001, 1006))
    told = found(samples).effects()
    assert [told[name].rule for name in "123"] == [Rule.BLOCKS, Rule.SEARCHED, Rule.SEARCHED]
    assert told["2"].difference is not None


def test_the_grid_is_a_family_of_its_own_by_the_seeds_that_it_declares() -> None:
    samples = study()
    kinds = found(samples, ("0", "1", "2"))
    told = kinds.effects()
    grid = {name: samples[name].only(range(LAST)) for name in ("0", "1", "2")}
    assert [told[name] for name in "12"] == list(effects(grid, "0").values())
    assert (told["1"].n, told["3"].n) == (3, 5)
    assert set(kinds.confirmed()) == {"1", "2", "3"}, "and whoever has fresh seeds is confirmed"
    assert kinds.confirmed()["1"].n == 5


def test_a_search_changes_no_verdict_of_the_grid() -> None:
    samples = study()
    grid = {name: samples[name].only(range(LAST)) for name in ("0", "1")}
    assert found(samples, ("0", "1")).effects()["1"] == effects(grid, "0")["1"]


def test_a_grid_that_was_never_trained_leaves_the_fresh_seeds() -> None:
    fresh_only = {name: sample.only(range(1001, 1006)) for name, sample in study().items()}
    kinds = found(fresh_only)
    assert kinds.of["0"] is Seeds.FRESH
    assert kinds.effects()["1"].n == 5
    assert kinds.judged == kinds.fresh


@pytest.mark.parametrize(
    ("pair", "n"), [(("1", "0"), (5, 5)), (("1", "3"), (5, 5)), (("0", "2"), (3, 3))]
)
def test_a_pair_is_compared_by_seeds_of_one_kind(pair: tuple[str, str], n: tuple[int, int]) -> None:
    samples = picked("1", "3")
    beside = found(samples, ("0", "2")).beside(*pair)
    assert tuple(len(beside[name].seeds) for name in pair) == n


def test_what_a_search_picked_by_is_no_arm_of_any_other_comparison() -> None:
    samples = study()
    searched = {**samples, "3": replace(samples["3"], picked_by=True)}
    arms = gather(searched)
    assert arms is not None
    assert arms.names == ("0", "1", "2")
    assert effects(searched, "0")["1"] == effects({n: samples[n] for n in "012"}, "0")["1"]


def test_a_grid_of_more_seeds_has_them_all() -> None:
    long = {"0": Sample.of_values([0.9] * 1200), "1": Sample.of_values([0.8] * 1200)}
    assert by_kind(long, "0", ("0", "1"), 1200).own["1"].seeds == long["1"].seeds
