"""The short form of the table of designs: fewer and smaller studies, wider bars."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.calibrate_designs import BAR, ROWS, Groups, errors

STUDIES = 60
QUICK = (
    "contexts, 6 variants, correlate",
    "places, 20 and 4 seeds",
    "baseline 3, 20 variants of 20",
    "three more classes of 2",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_designs_err_no_more_than_they_promise(name: str) -> None:
    """One of each kind."""
    design = ROWS[name]
    if isinstance(design, Groups):
        design = replace(design, images=600)
    most = BAR + 2.5 * np.sqrt(BAR * (100 - BAR) / STUDIES)
    assert 100 * errors(design, 3, range(STUDIES)) / STUDIES <= most
