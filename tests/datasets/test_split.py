"""The validation split: stratified, fixed, the same on every machine."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import message

from ablate.datasets.split import stratified_split
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
