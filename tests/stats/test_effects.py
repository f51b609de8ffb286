"""Intervals cover, families err no more than promised, verdicts are honest where data are thin."""

import numpy as np
import pytest
import scipy.stats

from ablate.errors import OptionError, UnknownNameError
from ablate.stats import effects, holm, interval, seed_correlation, smallest_detectable


def test_interval_by_hand() -> None:
    found = interval([1.0, 2.0, 3.0])
    # t quantile at 0.975 with 2 degrees of freedom is 4.302653; the standard error is 1 / √3.
    assert (found.mean, found.sd, found.n) == (2.0, 1.0, 3)
    assert found.half_width == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)


@pytest.mark.parametrize(("n", "n_baseline"), [(2, 2), (3, 3), (3, 10), (10, 4), (30, 30)])
@pytest.mark.parametrize("spread", [0.5, 1.0, 4.0])
def test_welch_is_scipys(n: int, n_baseline: int, spread: float) -> None:
    """p, interval and difference of every pair, against `scipy.stats.ttest_ind`."""
    rng = np.random.default_rng(n + n_baseline)
    values = {
        "base": rng.normal(0.9, 0.002, n_baseline).tolist(),
        "one": rng.normal(0.903, 0.002 * spread, n).tolist(),
        "other": rng.normal(0.9, 0.002 * spread, n).tolist(),
    }
    found = effects(values, "base")
    for name in ("one", "other"):
        theirs = scipy.stats.ttest_ind(values[name], values["base"], equal_var=False)
        span = theirs.confidence_interval(0.95)
        assert found[name].p == pytest.approx(theirs.pvalue, rel=1e-10)
        assert (found[name].low, found[name].high) == pytest.approx(tuple(span), rel=1e-9)
        mine = interval(values[name])
        expected = scipy.stats.t.interval(
            0.95, n - 1, loc=np.mean(values[name]), scale=scipy.stats.sem(values[name])
        )
        assert (mine.low, mine.high) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dof", [2.0, 3.7, 8.0, 18.0, 58.0, 500.0])
@pytest.mark.parametrize("family", [1, 10, 26])
def test_the_smallest_detectable_effect_is_that_of_the_noncentral_t(
    dof: float, family: int
) -> None:
    """At it, a test of a family's worst step has 80 % power by `scipy.stats.nct`."""
    effect = smallest_detectable(1.0, dof, family)
    critical = scipy.stats.t.ppf(1 - 0.05 / (2 * family), dof)
    assert scipy.stats.nct.sf(critical, dof, effect) == pytest.approx(0.8, abs=0.002)


def test_one_value_has_no_spread() -> None:
    found = interval([0.8])
    assert (found.mean, found.low, found.high, found.sd, found.n) == (0.8, None, None, None, 1)
    assert found.half_width is None


@pytest.mark.parametrize("n", [3, 10])
def test_interval_covers_the_true_mean(n: int) -> None:
    rng = np.random.default_rng(1)
    samples = rng.normal(0.9, 0.002, size=(2000, n)).tolist()
    hits = [i.low <= 0.9 <= i.high for i in map(interval, samples) if i.low and i.high]
    assert len(hits) == 2000
    assert np.mean(hits) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(
    ("values", "confidence", "says"),
    [
        ([], 0.95, "at least one value"),
        ([0.1, float("nan")], 0.95, "finite"),
        ([0.1, 0.2], 95, "between 0 and 1, not 95"),
    ],
)
def test_interval_refuses(values: list[float], confidence: float, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        interval(values, confidence)


def test_holm_by_hand() -> None:
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})


def test_holm_counts_what_could_not_be_tested() -> None:
    assert holm({"a": 0.01, "b": None, "c": None}) == {"a": 0.03, "b": None, "c": None}


def test_family_error_is_at_most_nominal_without_any_effect() -> None:
    rng = np.random.default_rng(2)
    false_alarms = 0
    for _ in range(300):
        study = {str(i): rng.normal(0.9, 0.002, 5).tolist() for i in range(9)}
        false_alarms += any(e.verdict != "undecided" for e in effects(study, "0").values())
    assert false_alarms / 300 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)


def test_a_large_effect_is_found_in_its_direction_and_in_order() -> None:
    rng = np.random.default_rng(3)
    means = {"up": 0.92, "none": 0.9, "down": 0.88}
    found = effects({k: rng.normal(m, 0.002, 5).tolist() for k, m in means.items()}, "none")
    assert {name: e.verdict for name, e in found.items()} == {"up": "better", "down": "worse"}
    assert list(found) == ["up", "down"]
    up = found["up"]
    assert up.difference == pytest.approx(0.02, abs=0.004)
    assert up.low == pytest.approx(up.difference, abs=0.01)
    assert (up.low or 1) < 0.02 < (up.high or 0)
    assert (up.n, up.n_baseline, up.baseline) == (5, 5, "none")


def test_welch_interval_covers_the_difference_under_unequal_spreads() -> None:
    rng = np.random.default_rng(4)
    hits = []
    for _ in range(600):
        study = {"a": rng.normal(1, 2, 4).tolist(), "none": rng.normal(0, 1, 12).tolist()}
        e = effects(study, "none")["a"]
        hits.append(e.low is not None and e.high is not None and e.low <= 1 <= e.high)
    assert np.mean(hits) == pytest.approx(0.95, abs=0.027)


@pytest.mark.parametrize("family", [1, 8])
@pytest.mark.parametrize("n", [3, 10])
def test_the_smallest_detectable_effect_is_found_in_80_percent(n: int, family: int) -> None:
    rng = np.random.default_rng(5)
    delta = smallest_detectable(np.sqrt(2 / n), 2 * n - 2, family)
    arms = rng.normal(0, 1, size=(20_000, 2, n)) + np.array([[delta], [0.0]])
    a, b = arms[:, 0], arms[:, 1]
    error = np.sqrt((a.var(axis=1, ddof=1) + b.var(axis=1, ddof=1)) / n)
    t = (a.mean(axis=1) - b.mean(axis=1)) / error
    critical = {(1, 3): 2.7764, (1, 10): 2.1009, (8, 3): 5.2611, (8, 10): 3.0945}[family, n]
    assert np.mean(np.abs(t) > critical) == pytest.approx(0.8, abs=0.015)


def test_smallest_detectable_effect_at_a_spread_of_a_fifth_of_a_point() -> None:
    found = [smallest_detectable(0.2 * np.sqrt(2 / n), 2 * n - 2) for n in (3, 5, 10, 20)]
    assert found == pytest.approx([0.61, 0.41, 0.27, 0.18], abs=0.015)


def test_it_stays_finite_where_the_degrees_of_freedom_are_1() -> None:
    assert 0 < smallest_detectable(0.001, 1.0, family=26) < 10


@pytest.mark.parametrize(
    "values",
    [
        {"a": [0.9], "none": [0.8]},
        {"a": [0.9, 0.9], "none": [0.8, 0.8]},
        {"a": [0.1 + 0.2] * 3, "none": [0.7] * 3},
        {"a": [], "none": [0.8, 0.81]},
        {"a": [0.9, 0.91], "none": []},
    ],
)
def test_without_spread_nothing_is_decided(values: dict[str, list[float]]) -> None:
    found = effects(values, "none", margin=0.5)["a"]
    assert found.verdict == "undecided"
    assert found.p is found.p_adjusted is found.low is found.smallest_detectable is None


def test_equivalent_only_with_a_margin() -> None:
    rng = np.random.default_rng(6)
    study = {name: rng.normal(0.9, 0.001, 20).tolist() for name in ("a", "none")}
    assert effects(study, "none")["a"].verdict == "undecided"
    assert effects(study, "none", margin=0.005)["a"].verdict == "equivalent"
    assert effects(study, "none", margin=1e-5)["a"].verdict == "undecided"


def test_equivalence_is_wrongly_claimed_at_most_at_its_level() -> None:
    rng = np.random.default_rng(7)
    claims = 0
    for _ in range(500):  # a true difference of exactly the margin is not equivalent
        study = {"a": rng.normal(0.5, 1, 10).tolist(), "none": rng.normal(0, 1, 10).tolist()}
        claims += effects(study, "none", margin=0.5)["a"].verdict == "equivalent"
    assert claims / 500 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 500)


def test_refusals_name_the_fix() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'none'"):
        effects({"none": [0.1]}, "nonee")
    with pytest.raises(OptionError, match="above 0, not 0"):
        effects({"none": [0.1]}, "none", margin=0)


def test_seed_correlation() -> None:
    assert seed_correlation([([1, 2, 3], [2, 4, 6])]) == pytest.approx(1)
    assert seed_correlation([([1, 2, 3], [5, 6, 7]), ([1, 2, 3], [3, 2, 1])]) == pytest.approx(0)
    assert seed_correlation([([1], [1])]) is None
    assert seed_correlation([]) is None
