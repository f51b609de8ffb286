"""Packed predictions, and which images a variant changes."""

from __future__ import annotations

import numpy as np
import pytest

from ablate.result.flips import Flip, best_and_worst, find_flips, shown_images
from ablate.result.image_results import Bits
from ablate.result.predictions import (
    image_count,
    pack_labels,
    pack_predictions,
    unpack_labels,
    unpack_predictions,
)


def test_predictions_are_four_bytes_an_image_with_the_high_byte_first() -> None:
    packed = pack_predictions(np.array([258, 3]), np.array([1.0, 0.5], dtype=np.float32))
    assert packed == bytes([1, 2, 255, 255, 0, 3, 128, 0])
    back = unpack_predictions(packed)
    assert back.predicted.tolist() == [258, 3]
    assert back.probability == pytest.approx([1.0, 0.5], abs=1e-5)


def test_a_probability_that_is_no_number_is_zero() -> None:
    packed = pack_predictions(np.array([0, 0]), np.array([np.nan, 1.5], dtype=np.float32))
    assert unpack_predictions(packed).probability.tolist() == [0.0, 1.0]


def test_labels_come_back_and_too_many_classes_have_none() -> None:
    labels = np.array([0, 65_535, 256])
    kept = pack_labels(labels, ("a",) * 65_536)
    assert kept is not None
    assert unpack_labels(kept.packed).tolist() == labels.tolist()
    assert pack_labels(labels, ("a",) * 65_537) is None


@pytest.mark.parametrize("images", range(1, 40))
def test_accuracy_tells_how_many_images_the_bits_are_of(images: int) -> None:
    right = np.random.default_rng(images).random(images) < 0.7
    right[0] = True
    assert image_count(np.packbits(right).tobytes(), float(right.mean())) == images


def test_bits_of_nothing_right_or_of_another_accuracy_tell_nothing() -> None:
    assert image_count(b"\x00", 0.0) is None
    assert image_count(b"\xf0", 0.123) is None
    assert image_count(b"", 0.5) is None


def test_bits_are_unpacked_without_the_last_bytes_rest() -> None:
    right = np.array([1, 0, 0, 1, 1, 0, 1, 1, 1, 0], dtype=bool)
    bits = Bits({"key": np.packbits(right).tobytes()}, 10)
    assert bits["key"].dtype == bool
    assert bits["key"].tolist() == right.tolist()
    assert "other" not in bits


def runs(*rows: str) -> dict[int, np.ndarray]:
    """One row of 0 and 1 for each seed, a column for each image."""
    return {seed: np.array([c == "1" for c in row]) for seed, row in enumerate(rows, start=1)}


def test_what_every_seed_changes_is_told_alone() -> None:
    flips = find_flips("se", runs("00111", "00110"), runs("11101", "10100"))
    assert flips is not None
    assert flips.fixed == (Flip(0, 0, 2),)
    assert flips.broken == (Flip(3, 2, 0),)
    assert (flips.always_fixed, flips.always_broken) == (1, 1)
    assert flips.by_chance == 2 / 4, "images 0 and 3 differ with both seeds"
    assert flips.difference == pytest.approx(0.1)


def test_without_such_images_those_that_change_most_come_first() -> None:
    flips = find_flips("se", runs("000", "000", "011"), runs("010", "110", "011"))
    assert flips is not None
    assert flips.fixed == (Flip(1, 1, 3), Flip(0, 0, 1))
    assert flips.broken == ()
    assert (flips.always_fixed, flips.always_broken) == (0, 0)


def test_only_seeds_that_both_have_are_compared() -> None:
    base = runs("0", "1", "1")
    assert find_flips("se", base, {2: np.array([True]), 9: np.array([False])}).seeds == (2,)  # type: ignore[union-attr]
    assert find_flips("se", base, {9: np.array([False])}) is None


def test_swapping_by_lot_gives_the_number_expected_by_chance() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.random((3, 400)) < 0.5 for _ in range(2))
    counts = []
    for _ in range(300):
        swap = rng.random((3, 400)) < 0.5
        a, b = np.where(swap, second, first), np.where(swap, first, second)
        flips = find_flips("v", dict(enumerate(a)), dict(enumerate(b)))
        assert flips is not None
        counts.append(flips.always_fixed)
    assert np.mean(counts) == pytest.approx(flips.by_chance, rel=0.1)


def test_the_best_and_the_worst_variant_are_shown() -> None:
    bits = {
        "none": runs("0011"),
        "same": runs("0011"),
        "up": runs("0111"),
        "down": runs("0000"),
    }
    best, worst = best_and_worst("none", bits)
    assert (best.variant, worst.variant) == ("up", "down")
    assert shown_images((best, worst)) == (1, 2, 3)
    assert [f.variant for f in best_and_worst("none", {k: bits[k] for k in ("none", "up")})] == [
        "up"
    ]
    assert best_and_worst("none", {"none": bits["none"]}) == ()
    assert best_and_worst("none", {"up": bits["up"]}) == ()


def test_thousands_of_seeds_leave_nothing_to_chance() -> None:
    """2 to the power of their number is larger than any float."""
    seeds = range(1, 2_001)
    base = {seed: np.array([True, False]) for seed in seeds}
    flips = find_flips("se", base, {seed: np.array([False, False]) for seed in seeds})
    assert flips is not None
    assert flips.by_chance == 0
    assert flips.always_broken == 1
