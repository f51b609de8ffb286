"""What seeds can see before they are trained: against the statistics that will judge them."""

from __future__ import annotations

import numpy as np
import pytest

from ablate.stats import Sample, effects
from ablate.stats.planning import Expected, assumed, measured, outlook

POINT = 0.01


def world(seeds: int, arms: int = 8, images: int = 2000, whole: float = 0.3) -> dict[str, Sample]:
    """Runs that vary by images and as a whole; no variant differs."""
    rng = np.random.default_rng(seeds)
    easiness = rng.normal(3, 2, images)
    return {
        f"v{arm}": Sample.of_bits(
            {
                seed: rng.random(images) < 1 / (1 + np.exp(-easiness - rng.normal(0, whole)))
                for seed in range(1, seeds + 1)
            }
        )
        for arm in range(arms)
    }


def test_the_facts_of_26_variants_come_out() -> None:
    """sd 0.2 points, margin 0.3: 520 runs in simulation at correlation 0, 202 at 0.66."""
    for correlation, runs in ((0.0, 520), (0.66, 202)):
        spread = 0.002**2 * (1 - correlation)
        expected = Expected(spread, 1.0, 0.0, 10_000, 500, 0.95, "")
        found = outlook(expected, 26, 10, 0.3 * POINT)
        assert found is not None
        assert found.until_runs == pytest.approx(runs, rel=0.15)


def test_what_is_measured_foretells_what_is_seen() -> None:
    runs = world(12)
    half = {name: each.correct for name, each in runs.items()}
    expected = measured(
        {n: Sample.of_bits({seed: bits[seed] for seed in range(1, 7)}) for n, bits in half.items()}
    )
    assert expected is not None
    assert expected.source == "as measured in 48 runs of this data set and backbone"
    found = outlook(expected, 7, 12, 0.5 * POINT)
    told = effects(runs, "v0")
    seen = np.mean([each.smallest_detectable for each in told.values()])
    assert found is not None
    assert found.smallest_detectable == pytest.approx(seen, rel=0.2)
    needed = [each.seeds_for(2 * POINT) for each in told.values()]
    wanted = outlook(expected, 7, 12, 2 * POINT)
    assert wanted is not None
    assert wanted.seeds_for_margin == pytest.approx(np.mean(needed), rel=0.25)


def test_more_seeds_see_more_and_more_variants_less() -> None:
    def seen(variants: int, seeds: int) -> float:
        found = outlook(assumed(10_000), variants, seeds, 0.005)
        assert found is not None
        assert found.smallest_detectable is not None
        return found.smallest_detectable

    assert seen(26, 20) < seen(26, 10) < seen(26, 5)
    assert seen(3, 10) < seen(26, 10)


def test_few_images_bound_what_any_number_of_seeds_sees() -> None:
    found = outlook(assumed(359), 26, 10, 0.005)
    assert found is not None
    assert found.seeds_for_margin is None
    assert found.until_seeds is None
    assert found.until_runs is None


def test_one_seed_sees_nothing_and_two_something() -> None:
    one, two = (outlook(assumed(10_000), 3, seeds, 0.005) for seeds in (1, 2))
    assert one is not None
    assert one.smallest_detectable is None
    assert one.seeds_for_margin is not None
    assert two is not None
    assert two.smallest_detectable is not None


def test_what_cannot_exist_is_never_said_to_be_seen() -> None:
    found = outlook(assumed(2), 26, 2, 0.005)
    assert found is not None
    assert found.smallest_detectable == found.expected.room == 0.95


@pytest.mark.parametrize(("images", "variants"), [(1, 3), (10_000, 0)])
def test_there_is_nothing_to_see_without_images_or_variants(images: int, variants: int) -> None:
    assert outlook(assumed(images), variants, 5, 0.005) is None


def test_nothing_is_measured_without_a_second_seed() -> None:
    assert measured({}) is None
    assert measured({"v": Sample.of_values([0.5, 0.6])}) is None
    assert measured(world(1)) is None


def test_a_single_network_is_enough_for_a_spread() -> None:
    found = measured({"v0": world(6)["v0"]})
    assert found is not None
    assert found.ratio > 0
    assert found.image_variance > 0
