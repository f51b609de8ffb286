"""The contract of an executor: jobs in, their events out, wherever they run.

An executor knows nothing of training or of the database. A job is a picklable callable that returns
an iterator of events; whatever it yields arrives, in order, with the job's id. After the last event
of a job comes one `Done`, or one `Died` if its process was lost. Nothing is retried here: the
database is the only authority on that. A process whose device answers with nothing but errors is lost too
(`breaks_process`), and one that a job calls spent (`ProcessSpentError`) gets no other job.
"""

from __future__ import annotations

import math
import os
import re
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from ablate.errors import MeasuringError
from ablate.system.hardware.device_errors import ProcessSpentError, breaks_process
from ablate.system.messages.text import one_line

Job = Callable[[], Iterator[Any]]
ALONE = "alone"
STDOUT = 1
_OURS = re.compile(r"^ablate\.errors\.\w+: ")
"""What a traceback writes before an error of ours, which is a whole line by itself."""


@dataclass(frozen=True, slots=True)
class Done:
    """The job ended; `error` is the traceback if it raised instead of yielding a failure. Its process is
    `spent`: it ends with the job.
    """

    error: str | None = None
    spent: bool = False


@dataclass(frozen=True, slots=True)
class Died:
    """The process that ran the job is gone; `exit_code` is negative for a signal. `error` is what it said
    itself, before it ended. `with_node` says that its whole machine went away: no fault of the job's.
    """

    exit_code: int | None
    error: str | None = None
    with_node: bool = False

    @property
    def reason(self) -> str:
        """For people: what became of the process."""
        if self.error is not None:
            return f"the worker process could not go on: {self.error}"
        return f"the worker process ended with exit code {self.exit_code}"


def ended_by(error: Exception) -> Done | Died:
    """What the last event of a job is that raised this."""
    if isinstance(error, ProcessSpentError):
        return Done(spent=True)
    if breaks_process(error):
        return Died(None, one_line(error))
    return Done("".join(traceback.format_exception(error)))


def print_to_stderr() -> None:
    """What users' code prints here is no output of the command, also what it prints past Python."""
    if sys.stderr is not None:  # as where a command was started with stderr closed
        os.dup2(sys.stderr.fileno(), STDOUT)
        sys.stdout = sys.stderr


class Executor(ABC):
    """Runs up to `slots` jobs at a time. A context manager: leaving it ends what still runs.

    Where it `queues`, a job that was submitted may have to wait for its place.
    """

    slots: int
    queues = False

    @property
    @abstractmethod
    def free(self) -> int:
        """How many more jobs can be submitted now."""

    @property
    def busy(self) -> bool:
        """Whether a job is still under way."""
        return self.free < self.slots

    @abstractmethod
    def submit(self, job_id: str, job: Job) -> None:
        """Start a job; a slot must be free."""

    @abstractmethod
    def wait(self, timeout_seconds: float) -> list[tuple[str, Any]]:
        """The events that have arrived, as (job id, event); waits for the first one up to the timeout."""

    @abstractmethod
    def cancel(self, job_id: str) -> None:
        """End a job at once; none of its events arrives any more."""

    @abstractmethod
    def close(self) -> None:
        """End everything that runs and free what is held."""

    def results(
        self,
        job: Job,
        most_seconds: float = math.inf,
        waiting: Callable[[], None] = lambda: None,
    ) -> Iterator[Any]:
        """The events of one job, run by itself; `waiting` is called each second in which none arrives.

        Raises:
            MeasuringError: it failed, its process was lost, or it took too long.
        """
        ends = time.monotonic() + most_seconds
        self.submit(ALONE, job)
        while self.busy:
            if time.monotonic() > ends:
                self.cancel(ALONE)
                raise MeasuringError(f"measuring took more than {most_seconds:.0f} s")
            events = self.wait(timeout_seconds=1.0)
            if not events:
                waiting()
            for _, event in events:
                if isinstance(event, Died):
                    why = event.exit_code if event.error is None else event.error
                    raise MeasuringError(f"the measuring process was lost ({why})")
                if isinstance(event, Done):
                    if event.error:
                        last = _OURS.sub("", event.error.strip().splitlines()[-1])
                        raise MeasuringError(f"measuring failed: {last}")
                    return
                yield event

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()
