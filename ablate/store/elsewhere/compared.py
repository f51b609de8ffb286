"""Runs of a file against those that are there: new, the same, more complete, or something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ablate.elsewhere.values import GivenRun
from ablate.errors import DataError
from ablate.result.predictions import NUMBER

NUMBERS = ("test_accuracy", "val_accuracy", "epochs", "seconds")
BITS = ("correct", "predictions")


@dataclass
class Work:
    """What is to be written: new runs, and of others what they are from now on."""

    added: list[GivenRun] = field(default_factory=list)
    replaced: list[GivenRun] = field(default_factory=list)
    completed: list[GivenRun] = field(default_factory=list)
    same: int = 0


def compared(
    runs: Sequence[GivenRun],
    there: Mapping[tuple[str, int], GivenRun],
    file: str,
    *,
    replaces: bool,
) -> Work:
    """What is to be done with each run of a file.

    Raises:
        DataError: one says something else than what is there, and nothing is to be replaced.
    """
    work, differing = Work(), []
    for run in runs:
        before = there.get((run.variant, run.seed))
        if before is None:
            work.added.append(run)
        elif difference := _difference(before, run):
            differing.append((run, difference))
            work.replaced.append(_replaced(before, run))
        elif (whole := _completed(before, run)) != replace(before, row=run.row):
            work.completed.append(whole)
        else:
            work.same += 1
    if differing and not replaces:
        run, difference = differing[0]
        more = f" (and {len(differing) - 1:,} more runs differ)" if len(differing) > 1 else ""
        raise DataError(
            f"{file}: row {run.row}: {run.name}: {difference}{more}: mend the file, or say --replace "
            "if it is right"
        )
    return work


def _difference(before: GivenRun, run: GivenRun) -> str:
    """The first cell that says something else than what is there; one that says nothing does not."""
    if (before.failure is None) != (run.failure is None):
        told = ["failed" if each.failure is not None else "finished" for each in (run, before)]
        return f"is {told[0]} here and {told[1]} in the database"
    for name in NUMBERS:
        ours, theirs = getattr(before, name), getattr(run, name)
        if ours is not None and theirs is not None and ours != theirs:
            return f"{name} is {theirs!r} here and {ours!r} in the database"
    known = {(s.split, s.metric, s.class_name): s.value for s in before.scores}
    for score in run.scores:
        value = known.get((score.split, score.metric, score.class_name))
        if value is not None and value != score.value:
            return f"{score.metric} is {score.value!r} here and {value!r} in the database"
    return _other_images(before, run)


def _other_images(before: GivenRun, run: GivenRun) -> str:
    if before.predictions is None or run.predictions is None:
        return ""
    ours, theirs = (
        np.frombuffer(each, NUMBER).reshape(-1, 2) for each in (before.predictions, run.predictions)
    )
    if len(ours) == len(theirs):
        both = (ours[:, 1] > 0) & (theirs[:, 1] > 0)
        other = (ours[:, 0] != theirs[:, 0]) | (both & (ours[:, 1] != theirs[:, 1]))
        return f"another prediction of {int(other.sum()):,} images" if other.any() else ""
    return "another number of images"


def _completed(before: GivenRun, run: GivenRun) -> GivenRun:
    """What is there, with what only the file says."""
    ours = {name: getattr(before, name) for name in (*NUMBERS, *BITS)}
    theirs = {name: getattr(run, name) for name in (*NUMBERS, *BITS)}
    merged = {name: theirs[name] if ours[name] is None else ours[name] for name in ours}
    known = {(s.split, s.metric, s.class_name) for s in before.scores}
    new = (s for s in run.scores if (s.split, s.metric, s.class_name) not in known)
    return replace(before, row=run.row, scores=(*before.scores, *new), **merged)


def _replaced(before: GivenRun, run: GivenRun) -> GivenRun:
    """The file's run; what it does not say stays where the accuracy is the same, so that nothing stands
    beside a result that it is not of.
    """
    same = before.failure is None and before.test_accuracy == run.test_accuracy
    return _completed(run, replace(before, row=run.row)) if same else run
