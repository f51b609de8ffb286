"""The signals by which a program is asked to end."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

ENDING = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2")
    if hasattr(signal, name)
)
"""Ctrl-C, `kill`, a closed terminal, and what job schedulers are told to send, where there are such."""


def is_ignored(number: signal.Signals) -> bool:
    """Whether whoever started this process wants the signal ignored, as `nohup` does."""
    return signal.getsignal(number) is signal.SIG_IGN


def end_at_once() -> None:
    """From here on these signals end the process with one line: while it is being loaded, and when its work
    is done, there is nothing to give back, and an exception may come to where Python, or a library, prints
    or swallows it.
    """
    _handle(_end_now)


def ends_at_once() -> bool:
    """Whether they do now, which only the program `ablate` asks for."""
    return signal.getsignal(signal.SIGINT) is _end_now


def raise_interrupts() -> None:
    """From here on each of them is Ctrl-C: what is under way is given back."""
    _handle(_interrupt)


before_the_end: list[Callable[[], object]] = []
"""What is done before the line is printed: a line that moves is cleared."""


def _handle(handler: Callable[[int, Any], None]) -> None:
    for number in ENDING:
        if not is_ignored(number):
            signal.signal(number, handler)


def _interrupt(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def _end_now(_signal: int, _frame: Any) -> None:
    for each in before_the_end:
        with contextlib.suppress(Exception):  # whatever it was interrupted in
            each()
    os.write(2, b"ablate: interrupted\n")
    os._exit(130)  # EXIT_INTERRUPTED of the command line


@contextmanager
def whole() -> Iterator[None]:
    """What ends this process waits until this is done, and then comes: for what must not be half done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {s: signal.signal(s, lambda number, _frame: came.append(number)) for s in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came[:1]:
            signal.raise_signal(number)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not end the giving back that the first one began."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.signal(s, signal.SIG_IGN) for s in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
