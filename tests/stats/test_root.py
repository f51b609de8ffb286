"""The zero of a function: what SciPy finds, without what SciPy loads."""

from __future__ import annotations

import math

import pytest
from scipy import optimize, special

from ablate.stats.family import CONFIDENCE, together
from ablate.stats.root import find_root


def approx(value: float) -> object:
    """To the last bit on x86-64; elsewhere SciPy may be compiled to round once where we round twice."""
    return pytest.approx(value, rel=0, abs=4e-12)


@pytest.mark.parametrize("variants", [1, 2, 7, 26, 500])
@pytest.mark.parametrize("correlation", [0.05, 0.5, 0.9])
def test_it_is_scipys_for_families(variants: int, correlation: float) -> None:
    def missing(c: float) -> float:
        return together(c, variants, correlation) - CONFIDENCE

    assert find_root(missing, 0.5, 12.0) == approx(optimize.brentq(missing, 0.5, 12.0))


@pytest.mark.parametrize("target", [-0.999, -0.5, 1e-9, 0.3, 0.999_999])
def test_it_is_scipys_for_functions_of_other_shapes(target: float) -> None:
    for function, low, high in (
        (lambda x: math.tanh(x) - target, -30.0, 40.0),
        (lambda x: x**3 - target, -2.0, 9.0),
        (lambda x: float(special.erf(x)) ** 9 - target, -8.0, 7.0),
        (lambda x: math.copysign(1, x - target), -3.0, 2.0),
    ):
        assert find_root(function, low, high) == approx(optimize.brentq(function, low, high))


def test_an_end_may_be_the_zero_and_signs_must_differ() -> None:
    assert find_root(lambda x: x - 2, 2.0, 5.0) == 2.0
    assert find_root(lambda x: x - 5, 2.0, 5.0) == 5.0
    with pytest.raises(ValueError, match=r"no change of sign between 2\.0 and 5\.0"):
        find_root(lambda x: x, 2.0, 5.0)
