"""The short form of `make calibrate`'s table of verdicts: fewer and smaller studies, wider bars."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.calibrate_verdicts import ROWS, Row, count

STUDIES = 120
FEW = ("equivalent at the margin", "ratio 3")
"""Rows of the quick tests."""
TRIED = [
    row if row.name in FEW else pytest.param(row, marks=pytest.mark.slow, id=row.name)
    for row in ROWS
    if "power" not in row.name
]


def small(row: Row, seeds: int) -> float:
    """Percent of studies with the row's event, in a world of six arms and 900 images."""
    world = replace(row.world, seeds=seeds, arms=min(row.world.arms, 6), images=900)
    return 100 * count((row.name, world, 5, list(range(STUDIES))))[0] / STUDIES


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, pytest.param(5, marks=pytest.mark.slow)])
@pytest.mark.parametrize("row", TRIED, ids=lambda r: r.name)
def test_verdicts_err_no_more_than_they_promise(row: Row, seeds: int) -> None:
    if seeds not in row.bars:
        seeds = max(row.bars)
    bar = row.bars[seeds][1]
    assert small(row, seeds) <= bar + 2.5 * np.sqrt(bar * (100 - bar) / STUDIES)


@pytest.mark.slow
def test_more_seeds_find_a_real_difference() -> None:
    row = next(r for r in ROWS if r.name.startswith("power for"))
    row = replace(row, world=replace(row.world, effect=0.01))
    few, many = (small(row, seeds) for seeds in (3, 10))
    assert few < many
    assert many >= 70
