"""The best of many: its luck is estimated as it is, and its words keep validation and test apart."""

from __future__ import annotations

import numpy as np
import pytest

from ablate.stats import Sample, effects, selection
from ablate.stats.selection import optimism, picked_claim, picked_evidence, select


def scores(table: np.ndarray) -> dict[str, dict[int, float]]:
    return {
        f"v{arm}": {seed: float(value) for seed, value in enumerate(row, 1)}
        for arm, row in enumerate(table)
    }


@pytest.mark.parametrize("arms", [2, 9, 26])
@pytest.mark.parametrize("seeds", [3, 10])
def test_the_optimism_of_equal_variants_is_what_it_is(
    arms: int, seeds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the truth over 200 studies in which the best is luck only; seeds move all variants alike."""
    monkeypatch.setattr(selection, "DRAWS", 4_000)
    rng = np.random.default_rng([1, arms, seeds])
    found, true = [], []
    for _ in range(200):
        own = rng.normal(0, 0.002, (arms, seeds))
        table = 0.9 + own + rng.normal(0, 0.01, seeds)
        found.append(optimism(scores(table)))
        true.append(own.mean(1)[int(table.mean(1).argmax())] - own.mean())
    assert np.mean(found) == pytest.approx(np.mean(true), rel=0.15)


def test_a_clear_winner_owes_nothing_to_luck() -> None:
    table = np.random.default_rng(2).normal(0.9, 0.002, (9, 5))
    luck = optimism(scores(table))
    table[3] += 0.1
    clear = optimism(scores(table))
    assert luck is not None
    assert clear is not None
    assert abs(clear) < 0.05 * luck


def test_what_cannot_be_told() -> None:
    assert select({}) is None
    assert optimism({"a": {1: 0.9}, "b": {1: 0.8}}) is None
    assert optimism({"a": {1: 0.9, 2: 0.91}}) is None
    one = select({"a": {1: 0.9}, "b": {1: 0.8}})
    assert one is not None
    assert one.picked == "a"
    assert "cannot be told" in picked_evidence(one, None)


def test_seeds_that_differ_are_taken_as_they_are() -> None:
    found = select({"a": {1: 0.90, 2: 0.92}, "b": {3: 0.80, 4: 0.82, 5: 0.81}})
    assert found is not None
    assert found.optimism is not None
    assert (found.picked, found.of, found.n) == ("a", 2, 2)


def test_the_pick_is_told_by_test_images() -> None:
    rng = np.random.default_rng(3)
    samples = {
        name: Sample.of_bits({s: rng.random(500) < chance for s in range(1, 6)})
        for name, chance in {"none": 0.6, "up": 0.8}.items()
    }
    found = select({"none": {1: 0.7, 2: 0.71}, "up": {1: 0.9, 2: 0.92}})
    effect = effects(samples, "none")["up"]
    assert found is not None
    claim = picked_claim(found, effect, "none")
    assert claim.startswith(
        "up has the highest mean validation accuracy of 2, none included. On test"
    )
    assert "up is better than none by" in claim
    assert "so being picked does not spoil it" in picked_evidence(found, effect)
    assert "no variant is picked" in picked_claim(found, None, "none")
