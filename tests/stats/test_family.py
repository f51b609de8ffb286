"""The constants of a family are Dunnett's, those of many looks hold at all of them."""

import numpy as np
import pytest
import scipy.stats

from ablate.stats.family import anytime, dunnett, smallest_detectable, together


@pytest.mark.parametrize("variants", [1, 2, 9, 26])
@pytest.mark.parametrize(("n", "n_baseline"), [(10, 10), (10, 30)])
def test_the_constant_is_that_of_a_multivariate_normal(
    variants: int, n: int, n_baseline: int
) -> None:
    """Drawn: differences that share a baseline are all inside it in 95 % of studies."""
    rng = np.random.default_rng(variants)
    arms = rng.normal(size=(40_000, variants)) / np.sqrt(n)
    base = rng.normal(size=(40_000, 1)) / np.sqrt(n_baseline)
    out = np.abs(arms - base) / np.sqrt(1 / n + 1 / n_baseline)
    inside = (out <= dunnett(variants, n / (n + n_baseline))).all(1).mean()
    assert inside == pytest.approx(0.95, abs=0.004)


def test_a_family_of_one_is_no_family() -> None:
    assert dunnett(1) == pytest.approx(scipy.stats.norm.ppf(0.975), rel=1e-6)
    assert 1 - together(2.2, 1) == pytest.approx(2 * scipy.stats.norm.sf(2.2), rel=1e-6)


def test_every_look_is_inside_at_once() -> None:
    """A random walk that is looked at after each of its 3rd to 200th steps."""
    rng = np.random.default_rng(4)
    means = rng.normal(size=(4000, 200)).cumsum(1) / np.arange(1, 201)
    bounds = np.array([anytime(1, n) / np.sqrt(n) for n in range(1, 201)])
    left = (np.abs(means) > bounds)[:, 2:].any(1).mean()
    assert 0.005 < left <= 0.05


@pytest.mark.parametrize("dof", [2.0, 3.7, 8.0, 18.0, 58.0, 500.0])
@pytest.mark.parametrize("variants", [1, 10, 26])
def test_the_smallest_detectable_effect_is_that_of_the_noncentral_t(
    dof: float, variants: int
) -> None:
    """At it, a test with this constant has 80 % power by `scipy.stats.nct`."""
    normal = dunnett(variants)
    effect = smallest_detectable(1.0, dof, normal)
    critical = scipy.stats.t.isf(scipy.stats.norm.sf(normal), dof)
    assert scipy.stats.nct.sf(critical, dof, effect) == pytest.approx(0.8, abs=0.002)


def test_it_stays_finite_where_the_degrees_of_freedom_are_1() -> None:
    assert 0 < smallest_detectable(0.001, 1.0, dunnett(26)) < 10
