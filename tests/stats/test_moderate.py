"""Variances of few seeds: unbiased where arms differ, and steadier for what the others say."""

import numpy as np
import pytest

from ablate.stats.moderate import grubbs, moderated, prior_dof, residuals


def test_each_arm_gets_its_own_variance_whatever_seeds_have_in_common() -> None:
    rng = np.random.default_rng(1)
    spreads, found = np.array([1.0, 1.0, 2.0, 3.0]), []
    for _ in range(3000):
        common = rng.normal(size=6) * 5
        values = rng.normal(size=(4, 6)) * spreads[:, None] + common + np.arange(4)[:, None]
        found.append(grubbs((residuals(values) ** 2).sum(1), 6))
    assert np.mean(found, axis=0) == pytest.approx(spreads**2, rel=0.06)


def test_two_arms_share_the_variance_of_their_difference() -> None:
    values = np.random.default_rng(2).normal(size=(2, 8))
    both = grubbs((residuals(values) ** 2).sum(1), 8)
    assert both.sum() == pytest.approx((values[1] - values[0]).var(ddof=1))


@pytest.mark.parametrize(("true", "low", "high"), [(4.0, 2.5, 7.0), (1e6, 15.0, 20.0)])
def test_the_prior_is_worth_what_the_arms_have_in_common(
    true: float, low: float, high: float
) -> None:
    rng = np.random.default_rng(3)
    variances = true / rng.chisquare(true, 4000) if true < 1e5 else np.ones(4000)
    seen = variances * rng.chisquare(5, 4000) / 5
    assert low <= prior_dof(seen, np.full(4000, 5.0)) <= high


def test_moderation_draws_towards_the_common_value() -> None:
    found = moderated(np.array([1.0, 5.0]), np.array([4.0, 4.0]), 3.0, 12.0)
    assert found.tolist() == [2.5, 3.5]
