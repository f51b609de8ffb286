"""One sample: its interval covers, and says so where it cannot."""

import numpy as np
import pytest
import scipy.stats

from ablate.errors import OptionError
from ablate.stats import interval, seed_correlation
from ablate.stats.intervals import normal_to_t, t_to_normal


def test_interval_by_hand() -> None:
    found = interval([1.0, 2.0, 3.0])
    # t quantile at 0.975 with 2 degrees of freedom is 4.302653; the standard error is 1 / √3.
    assert (found.mean, found.sd, found.n) == (2.0, 1.0, 3)
    assert found.half_width == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)


@pytest.mark.parametrize("n", [2, 3, 10])
def test_interval_is_scipys(n: int) -> None:
    values = np.random.default_rng(n).normal(0.9, 0.002, n).tolist()
    mine, sem = interval(values), scipy.stats.sem(values)
    expected = scipy.stats.t.interval(0.95, n - 1, loc=np.mean(values), scale=sem)
    assert (mine.low, mine.high) == pytest.approx(expected, rel=1e-12)


def test_one_value_has_no_spread() -> None:
    found = interval([0.8])
    assert (found.mean, found.low, found.high, found.sd, found.n) == (0.8, None, None, None, 1)
    assert found.half_width is None


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


@pytest.mark.parametrize("value", [0.5, 2.8, 9.5])
@pytest.mark.parametrize("dof", [1.5, 8, 300])
def test_normal_units_and_back(value: float, dof: float) -> None:
    """Nine standard errors out the upper tail of a normal is 1; the lower one keeps its digits."""
    student = normal_to_t(value, dof)
    assert np.isfinite(student)
    assert student > value
    assert t_to_normal(student, dof) == pytest.approx(value, rel=1e-6)


def test_seed_correlation() -> None:
    assert seed_correlation([([1, 2, 3], [2, 4, 6])]) == pytest.approx(1)
    assert seed_correlation([([1, 2, 3], [5, 6, 7]), ([1, 2, 3], [3, 2, 1])]) == pytest.approx(0)
    assert seed_correlation([([1], [1])]) is None
    assert seed_correlation([]) is None
