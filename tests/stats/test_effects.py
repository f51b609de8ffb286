"""Which rule fits, what is read off its interval, and true sentences where nothing can be judged.

How often verdicts are wrong is tried in tests/benchmarks/test_calibrate_verdicts.py.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from ablate.errors import OptionError, UnknownNameError
from ablate.stats import Rule, Sample, Verdict, bootstrap, effects, mcnemar
from ablate.stats.effect import Withheld, judge, least
from ablate.stats.family import dunnett
from ablate.stats.sample import PackedBits, Predicted
from ablate.stats.words import claim, evidence, reading
from benchmarks.worlds import World

Samples = dict[str, Sample]


def study(effect: float = 0.0, seeds: int = 6, arms: int = 4, **others: float) -> Samples:
    world = replace(World(arms=arms, seeds=seeds, own_images=0.0, effect=effect), **others)
    return world.study(np.random.default_rng(1))


def without(samples: Samples, name: str, *seeds: int) -> Samples:
    """The study without some runs of a variant."""
    kept = {s: bits for s, bits in samples[name].correct.items() if s not in seeds}
    return {**samples, name: Sample.of_bits(kept)}


def scores_only(samples: Mapping[str, Sample]) -> Samples:
    return {name: Sample(sample.scores, images=1797) for name, sample in samples.items()}


@pytest.mark.parametrize(("effect", "verdict"), [(0.012, "better"), (-0.03, "worse")])
def test_a_large_effect_is_found_in_its_direction(effect: float, verdict: str) -> None:
    found = effects(study(effect), "0")["1"]
    assert found.verdict == verdict
    assert found.rule is Rule.BLOCKS
    assert found.low is not None
    assert found.high is not None
    assert found.low < effect < found.high
    assert found.low * found.high > 0


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.001, 0.02, "better"),
        (-0.02, -0.001, "worse"),
        (-0.004, 0.004, "equivalent"),
        (0.001, 0.004, "better"),
        (-0.004, 0.006, "undecided"),
        (None, None, "undecided"),
    ],
)
def test_the_verdict_is_read_off_the_interval(
    low: float | None, high: float | None, verdict: str
) -> None:
    assert judge(low, high, 0.005) == verdict


def test_the_adjusted_p_and_the_interval_say_the_same() -> None:
    for effect in np.linspace(-0.012, 0.012, 13):
        found = effects(study(float(effect)), "0")["1"]
        assert found.p_adjusted is not None
        assert (found.p_adjusted < 0.05) == (found.verdict in ("better", "worse"))


def test_the_same_bits_are_identical() -> None:
    samples = study()
    samples["1"] = samples["0"]
    found = effects(samples, "0")["1"]
    assert (found.verdict, found.difference) == (Verdict.IDENTICAL, 0.0)
    assert "identical" in claim(found)


def test_constant_arms_far_apart_are_decided() -> None:
    """Every run of an arm is right on the same images: no variance over seeds, and yet a result."""
    half = np.arange(1000) < 500
    samples = {
        "0": Sample.of_bits(dict.fromkeys(range(1, 4), half)),
        "1": Sample.of_bits(dict.fromkeys(range(1, 4), np.ones(1000, dtype=bool))),
    }
    assert effects(samples, "0")["1"].verdict is Verdict.BETTER


def test_one_image_more_is_no_difference() -> None:
    """350, 351 and 352 of 359 right against 349 throughout."""
    base = np.arange(359) < 349
    samples = {
        "0": Sample.of_bits(dict.fromkeys((1, 2, 3), base)),
        "1": Sample.of_bits({s: np.arange(359) < 349 + s for s in (1, 2, 3)}),
    }
    assert effects(samples, "0")["1"].verdict is Verdict.UNDECIDED


def test_a_failed_run_leaves_the_others_paired() -> None:
    samples = without(study(seeds=8), "2", 3)
    found = effects(samples, "0")
    assert (found["1"].rule, found["1"].n) == (Rule.BLOCKS, 8)
    assert (found["2"].rule, found["2"].n, found["2"].n_baseline) == (Rule.BLOCKS, 7, 7)


def test_unequal_seeds_are_not_paired_and_it_says_so() -> None:
    found = effects(study(seeds=4, baseline_seeds=12), "0")["1"]
    assert (found.rule, found.n, found.n_baseline) == (Rule.UNPAIRED, 4, 12)
    assert "unpaired" in evidence(found)


def test_few_seeds_of_the_baseline_make_no_family_smaller() -> None:
    """Images correlate by a half whatever the seeds, with bits and without."""
    equal = dunnett(3)
    for samples in (study(seeds=20, baseline_seeds=3), study(seeds=30, baseline_seeds=8)):
        for each in (samples, scores_only(samples)):
            found = effects(each, "0")["1"]
            assert found.critical == equal
            assert found.n_baseline < found.n
            assert found.p_adjusted is not None
            assert (found.p_adjusted < 0.05) == ((found.low or 0) * (found.high or 0) > 0)
    more = effects(study(seeds=4, baseline_seeds=12), "0")["1"]
    assert (more.critical or 0) > equal


def test_without_bits_there_is_a_verdict_from_eight_seeds_on() -> None:
    for seeds, verdict in ((7, "undecided"), (8, "better")):
        found = effects(scores_only(study(0.012, seeds)), "0")["1"]
        assert (found.rule, found.verdict) == (Rule.SCORES, verdict)
        assert found.low is not None


@pytest.mark.parametrize("seeds", [3, 7])
def test_no_verdict_of_few_scores_is_no_null_result(seeds: int) -> None:
    found = effects(scores_only(study(0.015, seeds)), "0")["1"]
    assert found.low is not None
    assert found.low > 0, "far from 0 for all that"
    assert found.smallest_detectable is None
    assert found.withheld is Withheld.FEW_SEEDS
    assert found.seeds_for(0.1) == 8
    for told in (claim(found), evidence(found)):
        assert "fewer than eight seeds" in told
        assert "No difference found" not in told
        assert "could have seen" not in told


def without_bits_at_a_look() -> dict[str, Samples]:
    samples = study(0.015, seeds=10, arms=2)
    labels = np.ones(1797, dtype=np.int64)
    drawn = {
        name: replace(
            scores_only({name: each})[name],
            predicted=Predicted(
                "accuracy", labels, {s: b.astype(int) for s, b in each.correct.items()}
            ),
        )
        for name, each in samples.items()
    }
    return {"scores": scores_only(samples), "bootstrap": drawn}


@pytest.mark.parametrize("rule", [Rule.SCORES, Rule.BOOTSTRAP])
def test_what_does_not_hold_at_every_look_says_so(
    rule: Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "REPEATS", 60)
    samples = without_bits_at_a_look()[rule]
    found = effects(samples, "0", looks=True)["1"]
    assert (found.rule, found.withheld) == (rule, Withheld.NO_LOOKS)
    assert effects(samples, "0")["1"].verdict is Verdict.BETTER, "of a fixed number of seeds"
    assert found.smallest_detectable is found.seeds_for(0.1) is None, "no number of seeds does"
    told = claim(found) + evidence(found)
    assert "holds at every look" in told
    for null in ("No difference found", "could have seen", "seeds of each", "no number of seeds"):
        assert null not in told


def test_two_shared_seeds_at_a_look_are_too_few_and_it_says_so() -> None:
    found = effects(study(0.015, seeds=2), "0", looks=True)["1"]
    assert (found.verdict, found.withheld) == (Verdict.UNDECIDED, Withheld.FEW_SHARED)
    assert found.smallest_detectable is None
    assert (found.seeds_for(0.9) or 0) >= 3
    assert "fewer than three" in claim(found)


@pytest.mark.parametrize(("bounds", "most"), [((0.0, 1.0), 0.5), ((-1.0, 1.0), 1.5)])
def test_the_room_is_that_of_the_metric(bounds: tuple[float, float], most: float) -> None:
    values = {"none": [0.0, 1, 0, 1, 0, 1, 0, 1], "se": [0.0, 0, 1, 1, 0, 0, 1, 1]}
    samples = {
        name: replace(Sample.of_values(each), bounds=bounds) for name, each in values.items()
    }
    found = effects(samples, "none")["se"]
    assert found.room == pytest.approx(most)
    assert found.smallest_detectable is not None
    unseen = "could not have seen any difference that there can be" in claim(found)
    assert unseen == (bounds[0] == 0)


def test_a_single_run_of_each_is_mcnemars_and_decides_nothing() -> None:
    found = effects(study(0.012, seeds=1), "0")["1"]
    assert (found.rule, found.verdict) == (Rule.MCNEMAR, Verdict.UNDECIDED)
    assert found.p is not None
    assert found.low is found.smallest_detectable is None
    assert "another seed" in claim(found)


def test_mcnemar_by_hand() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(5, 0) == pytest.approx(2 / 32)
    assert mcnemar(4, 1) == mcnemar(1, 4) == pytest.approx(12 / 32)


def test_the_family_counts_variants_without_runs() -> None:
    alone = effects(study(arms=2), "0")["1"]
    crowded = effects({**study(arms=2), **{f"x{i}": Sample({}) for i in range(25)}}, "0")
    assert alone.high is not None
    assert (crowded["1"].high or 0) > alone.high
    assert crowded["x3"].verdict is Verdict.UNDECIDED
    assert crowded["x3"].difference is None
    assert "no finished run" in claim(crowded["x3"])


def test_looks_cost_width() -> None:
    samples = study()
    fixed, anytime = (effects(samples, "0", looks=looks)["1"] for looks in (False, True))
    assert anytime.rule is Rule.ANYTIME
    assert (anytime.high or 0) > (fixed.high or 1)


def test_folds_overlap_in_what_they_train_on() -> None:
    """More seeds of the same five folds do not make the training images new."""
    samples = study(ratios=(5.0,))
    dealt = {name: replace(each, folds=5) for name, each in samples.items()}
    plain, folds = (effects(each, "0")["1"] for each in (samples, dealt))
    assert (folds.high or 0) > (plain.high or 1)


@pytest.mark.parametrize("seeds", [2, 3, 12])
@pytest.mark.parametrize("arms", [2, 10])
def test_no_number_that_cannot_be(seeds: int, arms: int) -> None:
    for ratio in (1.0, 30.0):
        for found in effects(study(seeds=seeds, arms=arms, ratios=(ratio,)), "0").values():
            assert found.smallest_detectable is not None
            assert 0 < found.smallest_detectable <= found.room < 1
            assert found.here is not None
            assert found.spread is not None
            assert 0 <= found.spread.image_share <= 1


def test_more_seeds_are_needed_for_a_smaller_difference() -> None:
    found = effects(study(ratios=(3.0,)), "0")["1"]
    large, small = found.seeds_for(0.02), found.seeds_for(0.006)
    assert large is not None
    assert small is None or small > large
    assert found.seeds_for(1e-6) is None


@pytest.mark.parametrize(
    "runs",
    [
        {"0": {}, "1": {1: [True, False]}},
        {"0": {1: [True, False]}, "1": {}},
        {"0": {1: [True], 2: [True]}, "1": {1: [True], 2: [False]}},
    ],
)
def test_too_little_to_judge_is_said(runs: dict[str, dict[int, list[bool]]]) -> None:
    """No run, and a single test image."""
    samples = {
        name: Sample.of_bits({s: np.array(bits) for s, bits in each.items()})
        for name, each in runs.items()
    }
    found = effects(samples, "0")["1"]
    assert found.verdict is Verdict.UNDECIDED
    assert found.low is found.high is found.smallest_detectable is None
    assert claim(found)
    assert evidence(found)


def test_every_rule_has_its_words() -> None:
    used = [replace(effects(study(), "0")["1"], rule=rule) for rule in Rule]
    assert len(reading(used)) == len(Rule)
    assert all(evidence(each) and claim(each) for each in used)


def test_refusals_name_the_fix() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'none'"):
        effects({"none": Sample.of_values([0.1])}, "nonee")
    with pytest.raises(OptionError, match="above 0, not 0"):
        effects({"none": Sample.of_values([0.1])}, "none", margin=0)
    with pytest.raises(OptionError, match="finite"):
        Sample.of_values([float("nan")])
    other = Sample.of_bits({1: np.ones(7, dtype=bool)})
    with pytest.raises(OptionError, match="different numbers of images"):
        effects({**study(), "1": other}, "0")


def packed(samples: Mapping[str, Sample]) -> Samples:
    bits = {
        name: PackedBits({s: np.packbits(each).tobytes() for s, each in it.correct.items()}, 1797)
        for name, it in samples.items()
    }
    return {name: replace(it, correct=bits[name]) for name, it in samples.items()}


def test_packed_bits_give_the_same_effects(monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks and unpaired, and where not all images are looked at together."""
    plain = study(0.005, images=1797)
    assert {len(each) for it in plain.values() for each in it.correct.values()} == {1797}
    for samples in (plain, without(plain, "1", 1, 2, 3)):
        assert effects(packed(samples), "0") == effects(samples, "0")
    found = effects(packed(plain), "0")["1"]
    monkeypatch.setattr("ablate.stats.anchored.VALUES", 4 * 6 * 200)
    assert effects(packed(plain), "0")["1"].low == pytest.approx(found.low, rel=1e-5)


def test_packed_bits_are_those_that_were_packed() -> None:
    sample = study(images=30)["1"]
    bits = PackedBits({s: np.packbits(b).tobytes() for s, b in sample.correct.items()}, 30)
    assert all(np.array_equal(bits[s], sample.correct[s]) for s in sample.correct)
    assert np.array_equal(bits.at([2, 1])[0], sample.correct[2])
    assert list(bits.only({1, 3})) == [1, 3]
    assert len(Sample(sample.scores, bits).only({2}).correct) == 1


@pytest.mark.parametrize("answer", [2, 3, 9, 40, 41, 99, 100, 101])
@pytest.mark.parametrize("near", [None, 0, 2, 37, 100, 10_000])
def test_the_smallest_number_is_found_from_wherever_one_looks(
    answer: int, near: int | None
) -> None:
    found = least(lambda n: n >= answer, 2, 100, near)
    assert found == (answer if answer <= 100 else None)
