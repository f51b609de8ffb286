"""That a command is alive: its first word at once, then how far it is whenever nothing was said for a while.

On a terminal it is one line that moves and is gone in the end; in a file, which has no line that could
move, at most one line every 10 seconds. All begin with `…` and go to stderr, so that stdout is what a
program may read. Nothing is imported here that takes time.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from ablate.system.messages.language import _
from ablate.system.messages.text import duration, printable
from ablate.system.messages.times import remember_seconds, remembered_seconds

MARK = "… "
SECONDS_ON_A_TERMINAL = 1.0
SECONDS_IN_A_FILE = 10.0
TICK_SECONDS = 0.2
THREAD = "ablate-pulse"
"""The name of the thread that says it, which minds being forked."""
WORTH_KEEPING_SECONDS = 1.0
ERASE = "\r\x1b[2K"
CANNOT_MOVE = ("dumb", "unknown")
"""Terminals (TERM) that only add lines, as those of editors do."""


@dataclass(frozen=True)
class Count:
    """How far something counted was at a time of `time.monotonic`, and at its first count."""

    done: int
    total: int
    at: float
    first_done: int
    first_at: float

    def left_seconds(self, now: float) -> float | None:
        """From the rate of what follows the first count: what stands before it may be a start."""
        if self.done == self.first_done:
            return None
        each = (self.at - self.first_at) / (self.done - self.first_done)
        return max(0.0, each * (self.total - self.done) - (now - self.at))


class Pulse:
    """What a process is doing, said by a thread of its own; silent until a command begins."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._out: TextIO = sys.stderr
        self._count: Count | None = None
        self._command, self._step = "", ""
        self._on, self._shown, self._moves = False, False, False
        self._reset()

    def begin(self, command: str, about: str = "", detail: str = "") -> None:
        """A command's first word: `… plan studies/digits.toml: 7 variants`."""
        self.end()
        with self._lock:
            self._on, self._command = True, f"{command} {about}".strip()
            self._out = _out()
            self._step_since = time.monotonic()
            self._say(f"{self._command}: {detail}" if detail else self._command)
            self._over = threading.Event()
            self._thread = threading.Thread(
                target=self._tell, args=(self._over,), name=THREAD, daemon=True
            )
        self._thread.start()

    def step(self, what: str) -> None:
        """Something begins that takes its time; what was under way is over."""
        with self._lock:
            now = time.monotonic()
            if self._on and self._step:
                self._took[self._name()] = now - self._step_since
            self._step, self._step_since, self._count = what, now, None

    def count(self, what: str, done: int, total: int) -> bool:
        """So much of a step is done; False where no command has begun, and nobody is told."""
        with self._lock:
            if not self._on:
                return False
            if self._step != what:
                self.step(what)
            now = time.monotonic()
            first = self._count or Count(done, total, now, done, now)
            self._count = Count(done, total, now, first.first_done, first.first_at)
            return True

    def clear(self) -> None:
        """Something else is about to be said: the line that moves makes room."""
        with self._lock:
            if self._shown:
                self._write(ERASE)
                self._shown = False
            self._last = time.monotonic()

    @contextmanager
    def held(self) -> Iterator[None]:
        """While entered something else shows how far it is."""
        with self._lock:
            self.clear()
            self._holds += 1
        try:
            yield
        finally:
            with self._lock:
                self._holds -= 1
                self._last = time.monotonic()

    def end(self) -> None:
        """The command is over; what its steps took is remembered for the next time."""
        with self._lock:
            self.step("")
            self.clear()
            took = {k: s for k, s in self._took.items() if s > WORTH_KEEPING_SECONDS}
            thread, self._thread = self._thread, None
            self._over.set()
            self._reset()
        if thread is not None:
            thread.join()
        if took:
            remember_seconds(took)

    def forking(self) -> None:
        """Nothing is said while the process is forked: a lock of stderr that is held would be so for ever."""
        self._lock.acquire()

    def has_forked(self) -> None:
        """It is, and this is the parent."""
        self._lock.release()

    def forked(self) -> None:
        """A forked process has neither the thread nor anything to say; its parent has both."""
        self._lock, self._thread = threading.RLock(), None
        self._reset()

    def _reset(self) -> None:
        self._on, self._shown, self._holds = False, False, 0
        self._command, self._step = "", ""
        self._count = None
        self._out = sys.stderr
        self._moves = False
        self._last = self._step_since = time.monotonic()
        self._took: dict[str, float] = {}
        self._over = threading.Event()

    def _tell(self, over: threading.Event) -> None:
        known = remembered_seconds()
        while not over.wait(TICK_SECONDS):
            with self._lock:
                now = time.monotonic()
                every = SECONDS_ON_A_TERMINAL if self._moves else SECONDS_IN_A_FILE
                if over.is_set() or self._holds or now - self._last < every:
                    continue
                self._say(self._told(now, known))

    def _told(self, now: float, known: dict[str, float]) -> str:
        """`plan digits.toml: building variants: 3 of 20, 4 s left`."""
        so_far = now - self._step_since
        usual = known.get(self._name())
        left = self._count.left_seconds(now) if self._count else None
        if left is None and usual is not None:
            left = max(0.0, usual - so_far)
        said = (
            []
            if self._count is None
            else [_("{n:,} of {total:,}", n=self._count.done, total=self._count.total)]
        )
        said.append(
            _("{seconds} so far", seconds=duration(so_far))
            if left is None
            else _("{seconds} left", seconds=duration(left))
        )
        return f"{self._command}: {self._step or _('under way')}: {', '.join(said)}"

    def _name(self) -> str:
        return f"{self._command}: {self._step}"

    def _say(self, text: str) -> None:
        line = MARK + printable(text)
        self._last = time.monotonic()
        self._moves = self._out.isatty() and os.environ.get("TERM") not in CANNOT_MOVE
        if not self._moves:
            self._write(f"{line}\n")
            return
        self._write(ERASE + line[: max(10, shutil.get_terminal_size().columns - 1)])
        self._shown = True

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except (OSError, ValueError):
            self._on = False  # nobody is there to read it, which ends no command
            self._over.set()


def _out() -> TextIO:
    """stderr; a terminal at stdout where stderr is none: somebody looks at it."""
    return sys.stdout if sys.stdout.isatty() and not sys.stderr.isatty() else sys.stderr


PULSE = Pulse()
"""The one of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=PULSE.forking, after_in_parent=PULSE.has_forked, after_in_child=PULSE.forked
    )
