"""What a command says to whoever started it: lines as they are, and how far something has come."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ablate.system.messages.language import _, closed_up
from ablate.system.messages.pulse import PULSE, SECONDS_IN_A_FILE, SECONDS_ON_A_TERMINAL
from ablate.system.messages.text import duration, printable


def own_console() -> Console:
    """One that keeps to this stdout, wherever what a user's network prints is sent meanwhile."""
    return Console(file=sys.stdout)


def say(text: str, console: Console | None = None) -> None:
    """Print lines as they stand: brackets are no markup, `:x:` is no picture, numbers have no colours; what
    would move the cursor is replaced. A terminal breaks them between words, but for what is to be typed next.
    """
    PULSE.clear()
    console = console or Console()
    typed = text.startswith(("next: ", _("next: {command}", command="")))
    console.print(plain(closed_up(text)), soft_wrap=typed or not console.is_terminal)


def plain(text: str) -> Text:
    """Words of a study, a network or a file name as a terminal may get them, in a line, title or cell."""
    return Text("\n".join(map(printable, text.split("\n"))))


def files_told(files: Iterable[Path]) -> list[str]:
    """`wrote DIR: a.html, b.md`: every file that was written, a line for each folder."""
    folders: dict[Path, list[str]] = {}
    for file in files:
        folders.setdefault(file.parent, []).append(file.name)
    return [
        _("wrote {folder}: {names}", folder=folder, names=", ".join(names))
        for folder, names in folders.items()
    ]


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
        told = {"what": self._what, "done": done, "total": total, "left": duration(left)}
        say(_("{what}: {done:,} of {total:,}, {left} left", **told), self._console)
