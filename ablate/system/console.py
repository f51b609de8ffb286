"""What a command says to whoever started it: lines as they are, and how far something has come."""

from __future__ import annotations

import sys
import time

from rich.console import Console

from ablate.system.pulse import PULSE, SECONDS_IN_A_FILE, SECONDS_ON_A_TERMINAL
from ablate.system.text import duration


def own_console() -> Console:
    """One that keeps to this stdout, wherever what a user's network prints is sent meanwhile."""
    return Console(file=sys.stdout)


def say(text: str, console: Console | None = None) -> None:
    """Print a line as it stands: brackets are no markup, numbers have no colours, nothing is wrapped."""
    PULSE.clear()
    (console or Console()).print(text, markup=False, highlight=False, soft_wrap=True)


def seconds_between_lines(console: Console) -> float:
    """How often it is said how far something is: a terminal has somebody who waits, a file a reader."""
    return SECONDS_ON_A_TERMINAL if console.is_terminal else SECONDS_IN_A_FILE


class Counting:
    """How far something counted has come and how long it will still take; quiet if it is quick.

    The command's own line says it; where no command has begun, as in a notebook, lines of the console.
    Rates are of what follows the first call: what stands before it may be the start of a process.
    """

    def __init__(self, console: Console, what: str, every_seconds: float = 2.0) -> None:
        self._console, self._what = console, what
        self._every = max(every_seconds, seconds_between_lines(console))
        self._last = time.monotonic()
        self._first: tuple[float, int] | None = None

    def __call__(self, done: int, total: int) -> None:
        if PULSE.count(self._what, done, total):
            return
        now = time.monotonic()
        if self._first is None:
            self._first = now, done
        since, before = self._first
        if now - self._last < self._every or done == before:
            return
        self._last = now
        left = (now - since) / (done - before) * (total - done)
        say(f"{self._what}: {done:,} of {total:,}, {duration(left)} left", self._console)
