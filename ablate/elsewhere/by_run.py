"""A file with one row for each run."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.elsewhere.cells import EMPTY, Column, shown
from ablate.elsewhere.columns import FAILED, Columns
from ablate.elsewhere.values import GivenResults, GivenRun
from ablate.errors import DataError
from ablate.result.metrics import Score, Split
from ablate.study.metrics import ACCURACY, METRICS

MOST_RUNS = 100_000
FINISHED_WORDS = frozenset({"finished", "completed", "complete", "done", "success", "ok"})
FAILED_WORDS = frozenset(
    {"failed", "failure", "crashed", "error", "killed", "oom", "diverged", "timeout", "nan"}
)
Row = tuple[int, list[str]]


def read_runs(columns: Columns, *, percent: bool) -> GivenResults:
    """The runs of a file.

    Raises:
        DataError: a cell that is not what its column needs, or a run that stands there twice.
    """
    rows = _rows(columns)
    test = _shares(columns, rows, "test_accuracy", percent=percent)
    validated = _shares(columns, rows, "val_accuracy", percent=percent)
    scores = _scores(columns, rows, percent=percent)
    runs, unused = [], 0
    for i, (number, cells) in enumerate(rows):
        failure = _failure(columns, number, cells)
        if failure is None and test[i] is None:
            raise columns.of("test_accuracy").error(
                number,
                "is empty: a finished run has an accuracy; say of one that failed so in a column status "
                "(failed) or failure (why)",
            )
        unused += failure is not None and test[i] is not None
        runs.append(_run(columns, number, cells, failure, test[i], validated[i], scores[i]))
    _refuse_twice(columns, runs)
    _refuse_other_sizes(columns, runs)
    notes = list(columns.notes)
    if unused:
        notes.append(
            f"{unused:,} failed runs have an accuracy, which is not used: a failed run has no result"
        )
    return GivenResults(tuple(runs), len(rows), notes=tuple(notes))


def _rows(columns: Columns) -> list[Row]:
    rows: list[Row] = []
    for row in columns.sheet.rows:
        rows.append(row)
        if len(rows) > MOST_RUNS:
            raise DataError(
                f"{columns.sheet.file}: has more than {MOST_RUNS:,} rows, and each is a run: a file with a "
                "row for each image has the columns image, label and predicted"
            )
    if not rows:
        raise DataError(f"{columns.sheet.file}: has no row below the names of its columns")
    return rows


def _shares(
    columns: Columns, rows: Sequence[Row], meaning: str, *, percent: bool
) -> list[float | None]:
    if meaning not in columns.place:
        return [None] * len(rows)
    place = columns.place[meaning]
    return columns.at(place).shares([(n, cells[place]) for n, cells in rows], percent=percent)


def _scores(columns: Columns, rows: Sequence[Row], *, percent: bool) -> list[tuple[Score, ...]]:
    """The metrics beside accuracy of each row."""
    found: list[list[Score]] = [[] for _ in rows]
    for (split, metric), place in columns.metrics.items():
        column, cells = columns.at(place), [(n, row[place]) for n, row in rows]
        if METRICS[metric].is_fraction:
            values = column.shares(cells, percent=percent)
        else:
            values = [_loss(column, *each) for each in cells]
        for own, value in zip(found, values, strict=True):
            if value is not None:
                own.append(Score(split, metric, value))
    return list(map(tuple, found))


def _loss(column: Column, row: int, cell: str) -> float | None:
    value = column.number(row, cell)
    if value is not None and value < 0:
        raise column.error(row, f"{shown(cell)} is below 0: write what it is")
    return value


def _failure(columns: Columns, row: int, cells: list[str]) -> str | None:
    """Why a run has no result; None of one that has finished.

    Raises:
        DataError: a word that says neither.
    """
    said = {name: cells[columns.place[name]] for name in FAILED if name in columns.place}
    status, why = said.get("status", ""), said.get("failure", "")
    why = "" if why.lower() in EMPTY else why
    if status.lower() in FAILED_WORDS or (not status and why):
        return why or status
    if status and status.lower() not in FINISHED_WORDS:
        raise columns.of("status").error(
            row, f"{shown(status)} is neither finished nor failed: write one of the two"
        )
    if why:
        raise columns.of("failure").error(
            row,
            f"{shown(why)}, and its status is {shown(status)}: write status failed, or no failure",
        )
    return None


def _run(
    columns: Columns,
    row: int,
    cells: list[str],
    failure: str | None,
    test: float | None,
    validated: float | None,
    scores: tuple[Score, ...],
) -> GivenRun:
    place = columns.place

    def whole(name: str, least: int) -> int | None:
        return columns.of(name).whole(row, cells[place[name]], least) if name in place else None

    seconds = None
    if "seconds" in place:
        seconds = _loss(columns.of("seconds"), row, cells[place["seconds"]])
    ended = failure is None
    accuracies: tuple[tuple[Split, float | None], ...] = (("test", test), ("validation", validated))
    known = tuple(Score(s, ACCURACY, each) for s, each in accuracies if each is not None)
    return GivenRun(
        variant=columns.of("variant").text(row, cells[place["variant"]]),
        seed=columns.of("seed").seed(row, cells[place["seed"]]),
        row=row,
        test_accuracy=test if ended else None,
        val_accuracy=validated if ended else None,
        failure=failure,
        epochs=whole("epochs", 1),
        seconds=seconds,
        parameters=whole("parameters", 0),
        macs=whole("macs", 0),
        scores=(*known, *scores) if ended else (),
    )


def _refuse_twice(columns: Columns, runs: Sequence[GivenRun]) -> None:
    first: dict[tuple[str, int], int] = {}
    for run in runs:
        earlier = first.setdefault((run.variant, run.seed), run.row)
        if earlier != run.row:
            raise DataError(
                f"{columns.sheet.file}: rows {earlier} and {run.row} are both {run.name}: a run has one row; "
                "give another run another seed"
            )


def _refuse_other_sizes(columns: Columns, runs: Sequence[GivenRun]) -> None:
    """Runs of a variant are of one network."""
    for name in ("parameters", "macs"):
        first: dict[str, GivenRun] = {}
        for run in runs:
            if getattr(run, name) is None:
                continue
            other = first.setdefault(run.variant, run)
            if getattr(other, name) != getattr(run, name):
                raise columns.of(name).error(
                    run.row,
                    f"{getattr(run, name):,}, and row {other.row} of the same variant has "
                    f"{getattr(other, name):,}: a variant is one network",
                )
