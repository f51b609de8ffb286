"""The simulation of `--until-decided`: what it computes is what is shipped, and it keeps the promise."""

from __future__ import annotations

import numpy as np
import pytest

from ablate.stats import Sample, effects
from benchmarks.calibrate_until_decided import (
    WORLDS,
    Trainings,
    family,
    intervals,
    run_study,
    table_row,
)


@pytest.mark.parametrize("seeds", [3, 7])
@pytest.mark.parametrize("arms", [2, 3, 10])
def test_the_fast_way_gives_the_intervals_that_are_shipped(arms: int, seeds: int) -> None:
    world = WORLDS[0]
    trainings = Trainings(world, np.random.default_rng(arms))
    bits = np.stack([trainings.seed() for _ in range(seeds)], axis=1)[:arms]
    right = np.ones((arms, seeds, world.images - bits.shape[2]), dtype=bool)
    whole = np.concatenate([bits, right], axis=2)
    samples = {str(arm): Sample.of_bits(dict(enumerate(whole[arm], 1))) for arm in range(arms)}
    found = list(effects(samples, "0", world.margin, looks=True).values())
    low, high = intervals(bits, world.images, arms - 1)
    assert low == pytest.approx([each.low for each in found], abs=1e-12)
    assert high == pytest.approx([each.high for each in found], abs=1e-12)


@pytest.mark.slow
def test_the_worlds_are_what_they_say() -> None:
    """0.2 points from seed to seed, and the correlation by seed."""
    for world in WORLDS[:4]:
        rng = np.random.default_rng(3)
        means = [Trainings(world, rng).seed().sum(1) / world.images for _ in range(3)]
        assert all(len(each) == len(world.effects) + 1 for each in means)
        trainings = Trainings(world, rng)
        table = np.array([trainings.seed().sum(1) for _ in range(400)]) / world.images
        assert table.std(0, ddof=1) == pytest.approx(0.002, rel=0.15)
        correlation = np.corrcoef(table[:, 0], table[:, -1])[0, 1]
        assert correlation == pytest.approx(0.66 if world.correlated else 0, abs=0.12)
        gain = table[:, 1].mean() - table[:, 0].mean()
        assert gain == pytest.approx(world.effects[0], abs=0.0006)
    assert family(9, 2) == (0.005, -0.005, 0, 0, 0, 0, 0, 0, 0)


@pytest.mark.slow
def test_few_studies_have_a_wrong_verdict_and_all_end() -> None:
    world = WORLDS[1]
    courses = [run_study(world, number) for number in range(40)]
    text, wrong = table_row(world, courses)
    assert wrong <= 0.05
    assert not any(course.undecided for course in courses)
    assert 60 < np.mean([course.runs for course in courses]) < 110, text
