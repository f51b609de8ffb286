"""A file of results → checked values, or one line that says what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.elsewhere.by_image import read_images
from ablate.elsewhere.by_run import read_runs
from ablate.elsewhere.columns import columns_of
from ablate.elsewhere.sheets import GivenFile
from ablate.elsewhere.values import GivenResults, GivenRun
from ablate.errors import OptionError

FEWEST_IN_ORDER = 4
"""So many runs of each of two variants stand in the order of their accuracy by chance once in 144 files."""


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


def refuse_numbered_by_accuracy(results: GivenResults) -> None:
    """Refuse to pair runs that somebody numbered by what they came to: the best with the best, and so on.

    Raises:
        OptionError: in every variant the accuracy rises with the seed, or falls.
    """
    each: dict[str, list[GivenRun]] = {}
    for run in results.runs:
        if run.test_accuracy is not None:
            each.setdefault(run.variant, []).append(run)
    known = [runs for runs in each.values() if len(runs) >= FEWEST_IN_ORDER]
    if len(known) > 1 and (all(map(_rises, known)) or all(_rises(runs, -1) for runs in known)):
        raise OptionError(
            "--paired: in every variant the accuracy goes with the seed, as of runs that were numbered by "
            "it: such numbers pair nothing; leave --paired out"
        )


def _rises(runs: Sequence[GivenRun], sign: int = 1) -> bool:
    """Whether each run is at least as good as the one with the seed before, and not all are equal."""
    scores = [sign * (run.test_accuracy or 0.0) for run in sorted(runs, key=lambda run: run.seed)]
    return scores == sorted(scores) and scores[0] < scores[-1]
