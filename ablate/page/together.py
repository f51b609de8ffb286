"""Several pieces of work at once, each in a process of its own: figures, of which each takes a core.

Processes are forked, so that they have what this one has: nothing is loaded or sent anew but what comes of
it. That is safe where this one runs no thread but those that know of it, and no torch; where it is not so, or
there is one core, the work is done here, and what comes of it is the same.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any, TypeVar

from ablate.errors import DrawingError
from ablate.system.hardware.processor import count_cores
from ablate.system.messages.pulse import THREAD
from ablate.system.process.signals import ENDING, is_ignored

MOST_PROCESSES = 8
"""A figure takes up to 200 MB while it is drawn, and of more processes each has one or two."""

Made = TypeVar("Made")
Work = Mapping[str, Callable[[], Made]]


def all_of(
    work: Work[Made], told: Callable[[int], object], processes: int | None = None
) -> dict[str, Made]:
    """What comes of each piece, by its name; `told` hears how many are done. What is heavy stands first.
    Without a number of processes it is that of the cores.

    Raises:
        DrawingError: a process has died.
    """
    processes = min(processes or count_cores(), len(work), MOST_PROCESSES)
    if processes < 2 or not can_fork():
        with _collecting_less():
            return dict(_here(work, told))
    with _collecting_less(), _pool(work, processes) as pool:
        futures: dict[Future[Any], str] = {pool.submit(_piece, name): name for name in work}
        told(0)
        for done, future in enumerate(as_completed(futures), 1):
            future.result()  # what has gone wrong in one is raised before the others are done
            told(done)
        return {name: future.result() for future, name in futures.items()}


@contextmanager
def _collecting_less() -> Iterator[None]:
    """What is there already is no garbage: looking through it again and again takes a seventh of the time of
    drawing, and in a forked process a copy of it.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def can_fork() -> bool:
    """Whether a copy of this process can draw.

    macOS has libraries that do not outlive a fork; threads of torch do not anywhere.
    """
    own = {threading.main_thread().name, THREAD}
    alone = all(thread.name in own for thread in threading.enumerate())
    main = threading.current_thread() is threading.main_thread()
    return sys.platform == "linux" and "torch" not in sys.modules and alone and main


def _here(work: Work[Made], told: Callable[[int], object]) -> Iterator[tuple[str, Made]]:
    for done, (name, piece) in enumerate(work.items()):
        told(done)
        yield name, piece()


_WORK: dict[str, Callable[[], object]] = {}
"""What the processes of a pool may be asked for, by name: forked with them, and never sent."""


def _piece(name: str) -> object:
    return _WORK[name]()


@contextmanager
def _pool(work: Work[Made], processes: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that know this work, and end with this one, however it ends."""
    before = set(multiprocessing.active_children())
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(processes, context, _begin, (os.getpid(),))
    _WORK.update(work)
    try:
        with warnings.catch_warnings():
            # From Python 3.12 on of any fork beside threads: see `can_fork`.
            warnings.simplefilter("ignore", DeprecationWarning)
            pool.submit(os.getpid)  # all processes start here, before the pool has threads
        yield pool
    except BaseException as error:
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        if not isinstance(error, BrokenProcessPool):
            raise
        raise DrawingError(
            "a process that draws figures has died, as it does where memory is short: free some, or draw "
            "in one process alone (`taskset -c 0 ablate report …`)"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
        _WORK.clear()


def _begin(parent: int) -> None:
    """A process's first act: what ends its parent ends it at once, and so does the parent's end."""
    for number in ENDING:
        if not is_ignored(number):
            signal.signal(number, signal.SIG_DFL)
    if os.getppid() != parent:
        os._exit(1)
    process = multiprocessing.parent_process()
    if process is not None:
        threading.Thread(target=_exit_after, args=(process.sentinel,), daemon=True).start()


def _exit_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
