"""How far measuring has come: a line that moves on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status

from ablate.measure.throughput import Protocol, Turn
from ablate.system.messages.console import say, seconds_between_lines
from ablate.system.messages.language import _
from ablate.system.messages.pulse import PULSE
from ablate.system.messages.text import duration


class Turns:
    """Turns of all processes, and how long the rest will take; said while a process starts, too."""

    def __init__(self, console: Console, protocol: Protocol) -> None:
        self._console, self._processes = console, protocol.processes
        self._every = seconds_between_lines(console)
        self._last = self._since = time.monotonic()
        self._starting_seconds = self._turning_seconds = 0.0
        self._process, self._turn = 0, Turn(0, 0)
        self._own = ExitStack()
        self._status = Status(self._told(), console=console) if console.is_terminal else None

    def __enter__(self) -> Self:
        PULSE.step(_("measuring throughput"))
        if self._status:
            self._own.enter_context(PULSE.held())
            self._status.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._status:
            self._status.stop()
        self._own.close()

    def process(self, number: int) -> None:
        """A process begins, the first one is 0."""
        self._process, self._turn = number, Turn(0, self._turn.of)
        self._since = time.monotonic()
        self.waiting()

    def turn(self, turn: Turn) -> None:
        """A turn of the process is over."""
        took, self._since = time.monotonic() - self._since, time.monotonic()
        if turn.number == 1:
            self._starting_seconds += took
        else:
            self._turning_seconds += took
        self._turn = turn
        self.waiting()

    def lost(self, number: int, reason: str) -> None:
        """A process gave nothing; the others go on."""
        say(
            _(
                "  process {number} of {processes} is left out: {reason}",
                number=number + 1,
                processes=self._processes,
                reason=reason,
            ),
            self._console,
        )

    def waiting(self) -> None:
        """Say how far it is, if that was not said just now."""
        if self._status:
            self._status.update(self._told())
        elif time.monotonic() - self._last >= self._every:
            self._last = time.monotonic()
            say(self._told(), self._console)

    def _told(self) -> str:
        here = _(
            "process {process} of {processes}", process=self._process + 1, processes=self._processes
        )
        if not self._turn.of:
            return _("  turns: {here} starts", here=here)
        done = self._process * self._turn.of + self._turn.number
        total = self._processes * self._turn.of
        left = (
            _(", {time} left", time=duration(self._left_seconds(done, total))) if done > 1 else ""
        )
        return _(
            "  turns: {done:,} of {total:,}, {here}{left}",
            done=done,
            total=total,
            here=here,
            left=left,
        )

    def _left_seconds(self, done: int, total: int) -> float:
        """Turns as long as those that were, and for each process a start as long as those that were."""
        started = self._process + bool(self._turn.number)
        starts = self._starting_seconds / started * (self._processes - started)
        return starts + self._turning_seconds / (done - started or 1) * (total - done)
