"""A cohort is trained; what raises in it is found by halving, and fails alone."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from ablate.errors import (
    AblateError,
    AttentionChangedError,
    CodeChangedError,
    DataChangedError,
    DataError,
    NetworkChangedError,
)
from ablate.job.images import forget_images
from ablate.job.session import train_and_test
from ablate.result import (
    Anew,
    Checkpoint,
    Event,
    Failed,
    FailureKind,
    Finished,
    GivenBack,
    Halved,
    Noted,
)
from ablate.system.hardware.device_errors import (
    CaptureError,
    ProcessSpentError,
    breaks_process,
    chain,
    out_of_memory,
)
from ablate.system.hardware.machine import Machine
from ablate.system.messages.language import N_

if TYPE_CHECKING:
    from ablate.job.cohort import Cohort


def train_cohort(
    cohort: Cohort, machine: Machine
) -> Iterator[tuple[str, Event | Halved | Noted | GivenBack]]:
    """Train the runs of a cohort. What raises is found by halving: it fails alone, the others go on
    from their last checkpoints. Not in a process that is spent or broken: there the next ones would fail
    by what these have done.
    """
    left = {run.run_key: run for run in cohort.runs}
    try:
        for run_key, event in train_and_test(cohort, machine):
            if isinstance(event, Checkpoint):
                left[run_key] = replace(left[run_key], start=event.content)
            elif isinstance(event, Anew):
                left[run_key] = replace(left[run_key], start=None)
            elif isinstance(event, Finished | Failed):
                del left[run_key]
            elif isinstance(event, Noted) and event.step_path is not None:
                cohort = replace(cohort, step_path=event.step_path)
            yield run_key, event
        return
    except ProcessSpentError:
        raise
    except Exception as error:
        if breaks_process(error):
            raise
        failure = _failure(error)
        captured = next((each for each in chain(error) if isinstance(each, CaptureError)), None)
        trouble = None if captured is None else str(captured)
        of_all = isinstance(error, DataError | NetworkChangedError | CodeChangedError)
        of_all = of_all and not isinstance(error, AttentionChangedError)
    if trouble is not None:
        yield from _spent(list(left), failure, trouble)
        raise ProcessSpentError
    # Out of the handler, where nothing holds the cohort's tensors any more.
    _free_memory()
    if of_all:
        # The next cohort of this process reads anew: what is in the cache now, or the source.
        forget_images()
    if of_all or len(left) == 1:
        yield from ((run_key, failure) for run_key in left)
        return
    runs, half = tuple(left.values()), (len(left) + 1) // 2
    if failure.kind == "oom":
        yield "", Halved(half)
    yield from train_cohort(replace(cohort, runs=runs[:half]), machine)
    yield from train_cohort(replace(cohort, runs=runs[half:]), machine)


def _spent(
    left: list[str], failure: Failed, trouble: str
) -> Iterator[tuple[str, Failed | Halved | GivenBack]]:
    """The last events of a process in which a capture failed: of memory that ran out the cohort is halved,
    otherwise its networks are stepped eagerly.
    """
    if failure.kind != "oom":
        said = f"its cohort is stepped eagerly, it cannot be a graph: {trouble}"
        yield "", GivenBack(said, step_path="eager")
    elif len(left) == 1:
        yield left[0], failure
        yield "", GivenBack(N_("memory ran out in this process"))
    else:
        yield "", Halved((len(left) + 1) // 2)
        yield "", GivenBack(N_("memory ran out while its cohort was recorded"))


_CHANGED: dict[type[AblateError], FailureKind] = {
    DataChangedError: "data_changed",
    NetworkChangedError: "network_changed",
    CodeChangedError: "code_changed",
}


def _failure(error: Exception) -> Failed:
    """What an exception means for a run that was alone with it."""
    if (memory := out_of_memory(error)) is not None:
        return Failed("oom", memory)
    if isinstance(error, AblateError):
        found = [kind for name, kind in _CHANGED.items() if isinstance(error, name)]
        return Failed(found[0] if found else "error", str(error))
    return Failed("error", "".join(traceback.format_exception(error)))


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
