"""Processes that decode images: small ones, which load neither torch nor NumPy and nothing of the user's.

Neither forked, which would copy torch's threads and open databases, nor started by `multiprocessing`, which
would import the program's main module once more: a script or a notebook may do anything there.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import DecodingError
from ablate.pixels.rows import Chunk, Reply, decode_chunk
from ablate.pixels.wire import receive_reply, send_chunk
from ablate.system.hardware.processor import count_cores
from ablate.system.process.signals import ENDING

FEW = 300
"""Images that this process decodes before others have started and it would be worth their while."""

STDERR = 2
JOIN_SECONDS = 5.0

_BEGIN = """
import sys
sys.path[:] = {path}
import signal
for number in {signals}:
    signal.signal(number, signal.SIG_IGN)
from ablate.pixels.worker import main
main()
"""


@dataclass(frozen=True)
class Decoders:
    """What decodes `slots` chunks at a time."""

    slots: int
    submit: Callable[[Chunk], Future[Reply]]


@contextmanager
def decoders(images: int) -> Iterator[Decoders]:
    """For so many images: a process on each core, or threads of this one where that would take longer. What
    they are at is given up where the block ends, by an error or by Ctrl-C too.
    """
    cores = count_cores()
    with ThreadPoolExecutor(cores, thread_name_prefix="decode") as threads:
        if images < FEW or cores < 2 or not sys.executable:
            try:
                yield Decoders(cores, lambda chunk: threads.submit(decode_chunk, chunk))
            finally:
                threads.shutdown(wait=False, cancel_futures=True)
            return
        idle: queue.SimpleQueue[DecodingProcess] = queue.SimpleQueue()
        processes: list[DecodingProcess] = []
        try:
            for _ in range(cores):
                processes.append(DecodingProcess())
                idle.put(processes[-1])
            yield Decoders(cores, lambda chunk: threads.submit(_decode_by, idle, chunk))
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.end()
            threads.shutdown()  # each was waiting for a process that is gone now
            for process in processes:
                process.close()


def _decode_by(idle: queue.SimpleQueue[DecodingProcess], chunk: Chunk) -> Reply:
    """By any process that has nothing to do: there are as many as threads."""
    process = idle.get()
    try:
        return process.decode(chunk)
    finally:
        idle.put(process)


class DecodingProcess:
    """One process that decodes chunk after chunk."""

    def __init__(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _beginning()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Closed, its number would be that of a file with pixels, and libraries print there.
            stderr=None if _is_open(STDERR) else subprocess.DEVNULL,
        )
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a process without pipes")
        self._process, self._chunks, self._answers = process, process.stdin, process.stdout

    @property
    def pid(self) -> int:
        return self._process.pid

    def decode(self, chunk: Chunk) -> Reply:
        """Have a chunk decoded.

        Raises:
            DecodingError: the process was lost.
        """
        try:
            send_chunk(self._chunks, chunk)
            reply = receive_reply(self._answers)
        except (EOFError, OSError, ValueError) as error:
            raise DecodingError(_lost(self._exit_code())) from error
        if reply.raised is not None:
            raise RuntimeError(f"in a process that decodes images:\n{reply.raised}")
        return reply

    def end(self) -> None:
        """End it at once, whatever it is at."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Close the pipes of a process that has ended."""
        for pipe in (self._chunks, self._answers):
            with contextlib.suppress(OSError):  # what was not sent any more
                pipe.close()

    def _exit_code(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(JOIN_SECONDS)
        return None


def _lost(exit_code: int | None) -> str:
    """A process that is gone; one that ended by itself has said why on stderr."""
    if exit_code is None or exit_code >= 0:
        how, fix = f"ended with exit code {exit_code}", "see what it said, and start again"
    else:
        how = f"was killed by signal {-exit_code}, as where memory is short"
        fix = "free some memory, and start again"
    return f"a process that decodes images {how}; nothing half-decoded is kept: {fix}"


def _beginning() -> str:
    """What such a process runs: it looks for modules where this one does, but not in the current folder,
    where a file may be called as a module of the standard library.
    """
    home = str(Path(__file__).resolve().parents[2])  # where ablate lies, maybe there
    here = {"", os.getcwd()}
    path = [*(folder for folder in sys.path if folder not in here), home]
    return _BEGIN.format(signals=[int(number) for number in ENDING], path=path)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
