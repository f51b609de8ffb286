"""Splits and draws: stratified, fixed, the same on every machine."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import message

from ablate.datasets.split import hold_out, stratified_draw, stratified_split
from ablate.errors import DataError


def test_cifar_splits_into_45000_and_5000() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 5000))
    kept, held = stratified_split(labels, 0.1)
    assert (len(kept), len(held)) == (45_000, 5_000)
    assert np.bincount(labels[held]).tolist() == [500] * 10
    assert np.array_equal(np.sort(np.concatenate([kept, held])), np.arange(50_000))
    assert (np.diff(kept) > 0).all()
    assert (np.diff(held) > 0).all()


def test_the_split_is_fixed() -> None:
    labels = np.arange(40) % 4
    held = stratified_split(labels, 0.25)[1].tolist()
    assert held == [1, 3, 6, 11, 13, 18, 24, 32]
    assert held != stratified_split(labels, 0.25, seed=1)[1].tolist()


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.99])
def test_small_classes_keep_and_give_at_least_one(fraction: float) -> None:
    labels = np.array([0, 1, 1, 2, 2, 2])
    kept, held = stratified_split(labels, fraction)
    assert set(labels[kept]) == {0, 1, 2}
    assert set(labels[held]) == {1, 2}


def test_nothing_to_hold_out() -> None:
    assert message(DataError, lambda: stratified_split(np.arange(3), 0.5)) == (
        "a split needs a class with at least 2 images; all 3 classes have 1: add images"
    )


def test_a_draw_is_fixed_by_its_seed() -> None:
    labels = np.arange(40) % 4
    drawn = stratified_draw(labels, 8, seed=1).tolist()
    assert drawn == [2, 9, 16, 18, 21, 31, 36, 39]
    assert drawn != stratified_draw(labels, 8, seed=2).tolist()
    assert stratified_draw(labels, 40, seed=1).tolist() == list(range(40))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "count", "shares"),
    [
        ([50, 30, 20], 10, [5, 3, 2]),
        ([98, 1, 1], 10, [8, 1, 1]),
        ([98, 1, 1], 3, [1, 1, 1]),
        ([7, 7, 7], 8, [3, 3, 2]),
        ([1, 1], 2, [1, 1]),
        ([6_000_000, 2], 5_999_999, [5_999_997, 2]),
    ],
)
def test_a_draw_has_the_proportions_of_the_classes(
    sizes: list[int], count: int, shares: list[int]
) -> None:
    labels = np.repeat(np.arange(len(sizes)) * 5, sizes)
    drawn = stratified_draw(labels, count, seed=3)
    assert len(set(drawn.tolist())) == count
    assert (np.diff(drawn) > 0).all()
    assert np.unique(labels[drawn], return_counts=True)[1].tolist() == shares


def test_every_image_is_drawn_as_often_as_any_other() -> None:
    labels = np.arange(30) % 3
    times = sum(
        np.bincount(stratified_draw(labels, 12, seed=seed), minlength=30) for seed in range(1000)
    )
    assert min(times) > 340, "400 ± 4 standard deviations of 15.5"
    assert max(times) < 460


def test_what_cannot_be_drawn_is_one_line() -> None:
    labels = np.arange(40) % 4
    assert message(DataError, lambda: stratified_draw(labels, 41, seed=1)) == (
        "data.train_images is 41, and there are 40 images to draw from: give at most 40"
    )
    assert message(DataError, lambda: stratified_draw(labels, 3, seed=1)) == (
        "data.train_images is 3, fewer than the 4 classes: give at least 4"
    )


# ── groups ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_groups_stay_whole_and_classes_get_about_their_share(fraction: float) -> None:
    generator = np.random.default_rng(0)
    groups = generator.integers(0, 60, 1000)
    labels = (groups % 3 + (generator.random(1000) < 0.1)) % 3  # some groups have two classes
    kept, held = hold_out(labels, fraction, groups=groups)
    assert not set(groups[kept]) & set(groups[held])
    assert sorted([*kept, *held]) == list(range(1000))
    shares = np.bincount(labels[held], minlength=3) / np.bincount(labels)
    assert np.allclose(shares, fraction, atol=0.06)
    again = hold_out(labels, fraction, groups=groups * 7 + 3)
    assert np.array_equal(again[1], held), "how groups are numbered does not matter"


def test_a_class_of_one_group_keeps_it_and_a_small_one_gives_one() -> None:
    labels = np.array([0] * 6 + [1] * 4 + [2] * 4)
    groups = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5, 5])
    kept, held = hold_out(labels, 0.1, groups=groups)
    assert set(labels[held]) == {0, 1}
    assert set(labels[kept]) == {0, 1, 2}
    with pytest.raises(DataError, match="at least 2 groups"):
        hold_out(labels, 0.1, groups=labels)


def test_without_groups_it_is_the_split_of_images() -> None:
    labels = np.arange(100) % 4
    for one, other in zip(hold_out(labels, 0.2), stratified_split(labels, 0.2), strict=True):
        assert np.array_equal(one, other)
