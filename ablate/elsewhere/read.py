"""A file of results → checked values, or one line that says what is wrong."""

from __future__ import annotations

from ablate.elsewhere.by_image import read_images
from ablate.elsewhere.by_run import read_runs
from ablate.elsewhere.columns import columns_of
from ablate.elsewhere.sheets import GivenFile
from ablate.elsewhere.values import GivenResults
from ablate.errors import OptionError


def read_results(given: GivenFile, *, percent: bool = False) -> GivenResults:
    """What a file says.

    Raises:
        DataError: it is not as it must be; says in which row and column.
        OptionError: `percent`, and a file that has no accuracies.
    """
    columns = columns_of(given.sheet())
    if not columns.by_image:
        return read_runs(columns, percent=percent)
    if percent:
        raise OptionError(
            f"--percent: {given.name} has a row for each image, and no accuracies: leave it out"
        )
    return read_images(columns)
