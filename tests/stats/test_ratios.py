"""Ratios of speed: the interval is over processes, and what is said is read off it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ablate.stats import interval
from ablate.stats.ratios import Ratio, in_family, ratio_over
from ablate.stats.words import speed_words
from benchmarks.calibrate_throughput import fewest_holding

NOISE = 0.03


def holds(low: float | None, high: float | None, truth: float = 0.0) -> bool:
    return low is not None and high is not None and low <= truth <= high


def measurements(processes: int, rounds: int, kept: float = NOISE) -> np.ndarray:
    """2,000 measurements of one network beside itself: logarithms of ratios by process and round.

    Each process keeps an offset, with a spread as large as that of the rounds unless said.
    """
    generator = np.random.default_rng(1)
    offsets = generator.normal(0, kept, (2000, processes, 1))
    return offsets + generator.normal(0, NOISE, (2000, processes, rounds))


@pytest.mark.parametrize(("processes", "rounds"), [(3, 3), (4, 2), (8, 2)])
@pytest.mark.parametrize("kept", [0.0, NOISE, 3 * NOISE])
def test_the_interval_holds_whatever_a_process_keeps(
    processes: int, rounds: int, kept: float
) -> None:
    found = [ratio_over(np.exp(each)) for each in measurements(processes, rounds, kept)]
    coverage = np.mean([holds(each.low, each.high, truth=1.0) for each in found])
    assert 0.93 <= coverage <= 0.97


def test_an_interval_over_the_rounds_of_one_process_holds_half_the_time() -> None:
    """What was done before, and why `make calibrate` asks 47 of 52."""
    logs = [interval(each[0].tolist()) for each in measurements(1, 9)]
    coverage = float(np.mean([holds(each.low, each.high) for each in logs]))
    assert 0.45 <= coverage <= 0.6


def test_the_calibration_finds_out_intervals_that_are_too_short() -> None:
    assert fewest_holding(52) == 47
    generator = np.random.default_rng(1)

    def passes(coverage: float) -> float:
        return float(np.mean(generator.binomial(52, coverage, 20_000) >= 47))

    assert passes(0.95) > 0.94
    assert passes(0.85) < 0.22
    assert passes(0.53) == 0


def test_a_ratio_by_hand() -> None:
    found = ratio_over([[1.0, 4.0], [2.0, 2.0], [1.0, 4.0]])
    assert (found.ratio, found.low, found.high, found.processes) == (2.0, 2.0, 2.0, 3)
    logs = [math.log(2), math.log(4), math.log(8)]
    by_hand = 4.302653 * np.std(logs, ddof=1) / math.sqrt(3)
    apart = ratio_over([[2.0], [4.0, 4.0], [8.0]])
    assert apart.ratio == pytest.approx(4.0)
    assert apart.high == pytest.approx(4 * math.exp(by_hand))
    assert apart.low == pytest.approx(4 / math.exp(by_hand))


def test_fewer_than_three_processes_give_no_interval() -> None:
    for few in ([[2.0] * 9], [[2.0, 2.1], [1.9, 2.0]]):
        found = ratio_over(few)
        assert found.low is found.high is found.verdict is in_family(found, 5).detectable is None
        assert speed_words(found) == "too few processes for an interval"


@pytest.mark.slow
def test_intervals_of_a_family_hold_together() -> None:
    generator, family = np.random.default_rng(1), 10
    logs = generator.normal(0, NOISE, (300, family, 8, 1))
    all_hold = alone = 0
    for measurement in logs:
        found = [ratio_over(np.exp(each)) for each in measurement]
        together = [in_family(each, family) for each in found]
        alone += all(holds(each.low, each.high, 1.0) for each in found)
        all_hold += all(each.verdict in ("undecided", "as fast") for each in together)
    assert alone < 210, "ten at 95 % each"
    assert all_hold >= 276, "95 % of 300, less two standard deviations"


def test_a_ratio_by_itself_keeps_its_interval() -> None:
    found = ratio_over([[1.0], [1.1], [1.2], [1.05]])
    alone = in_family(found, 1)
    assert (alone.low, alone.high) == pytest.approx((found.low, found.high))
    wider = in_family(found, 3)
    assert wider.ratio == found.ratio
    assert wider.low is not None
    assert found.low is not None
    assert wider.low < found.low


@pytest.mark.slow
def test_what_could_have_been_seen_is_seen_four_times_in_five() -> None:
    spread, processes, family = 0.03, 8, 5
    error = spread / math.sqrt(processes)
    half = 2.364624 * error  # so that the stored interval has exactly this standard error
    known = in_family(Ratio(1.0, math.exp(-half), math.exp(half), processes), family)
    assert known.detectable is not None
    shift = math.log(known.detectable)
    generator = np.random.default_rng(1)
    logs = generator.normal(shift, spread, (1000, processes, 1))
    found = [in_family(ratio_over(np.exp(each)), family).verdict for each in logs]
    assert 0.77 <= found.count("faster") / 1000 <= 0.83
    assert found.count("slower") == 0


@pytest.mark.parametrize(
    ("low", "high", "verdict", "words"),
    [
        (1.15, 1.27, "faster", "faster"),
        (0.8, 0.99, "slower", "slower"),
        (1.001, 1.01, "faster", "faster"),
        (0.985, 1.015, "as fast", "as fast within 2 %"),
        (0.97, 1.01, "undecided", "no difference in speed found (could have seen ≥ 4.2 %)"),
    ],
)
def test_a_verdict_is_read_off_the_interval(
    low: float, high: float, verdict: str, words: str
) -> None:
    ratio = Ratio(math.sqrt(low * high), low, high, 4, detectable=1.0421)
    assert ratio.verdict == verdict
    assert speed_words(ratio) == words


def test_rounds_of_one_process_give_no_verdict() -> None:
    earlier = Ratio(0.9, 0.89, 0.91)
    assert in_family(earlier, 10) == earlier
    assert earlier.verdict is None
    assert speed_words(earlier) == "over the rounds of one process, no verdict"
