"""Verdicts from scores without the bits behind them."""

from __future__ import annotations

import numpy as np

from ablate.stats.plain import score_spreads


def test_arms_that_vary_alike_are_known_no_better_than_all_of_them_together() -> None:
    rng = np.random.default_rng(0)
    scores = [rng.permutation(np.linspace(0.9, 0.92, 8)) + shift for shift in (0.0, 0.01)]
    for blocks, most in ((False, 14), (True, 7)):
        (spread,) = score_spreads(scores, blocks=blocks, images=None)
        assert spread is not None
        assert spread.dof <= most
