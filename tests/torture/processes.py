"""Processes to be killed: each begins within milliseconds, in a session of its own, with its own log.

They are forked from a server process that has loaded everything and opened nothing, so that a kill
hits what a driver does and not how long Python takes to start.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 120.0

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.torture.warm"])


@dataclass
class Started:
    """A process and the file that has what it printed."""

    process: BaseProcess
    log: Path

    @property
    def pid(self) -> int:
        return int(self.process.pid or 0)

    @property
    def alive(self) -> bool:
        return self.process.is_alive()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> list[psutil.Process]:
        """SIGKILL; returns the processes that it had started, which should be gone soon."""
        try:
            children = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            children = []
        self.process.kill()
        self.process.join()
        return children

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait for its end; returns the exit code.

        Raises:
            TimeoutError: it goes on; it was killed.
        """
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.kill()
            raise TimeoutError(f"did not end within {seconds} s: {self.log.read_text()[-2000:]}")
        return self.process.exitcode


def end_together(processes: Sequence[Started]) -> None:
    """SIGKILL to all of them as at one moment: none sees another's death and goes on with its run, which
    would begin by taking back epochs that were not saved yet.
    """
    for process in processes:
        if process.alive:
            process.signal(signal.SIGSTOP)
    for process in processes:
        process.kill()


def start(log: Path, target: Callable[..., None], *arguments: Any) -> Started:
    """Begin a function in a process of its own."""
    process = _CONTEXT.Process(
        target=_begin, args=(str(log), dict(os.environ), target, arguments), daemon=False
    )
    process.start()
    return Started(process, log)


def cold(
    log: Path, module: str, argument: object, *, wrapper: Sequence[str] = (), **environment: str
) -> subprocess.Popen[bytes]:
    """Begin a module's `main` in a new Python, which takes seconds where it loads torch; `wrapper` is
    the beginning of the command line.
    """
    file = log.with_suffix(".pickle")
    file.write_bytes(pickle.dumps(argument))
    with log.open("ab") as output:
        return subprocess.Popen(
            [*wrapper, sys.executable, "-m", module, str(file)],
            cwd=ROOT, stdout=output, stderr=output, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
            | environment,
        )  # fmt: skip


def outlived(children: list[psutil.Process], seconds: float = 10.0) -> int:
    """How many of these processes still run after that time; they are killed."""
    _, alive = psutil.wait_procs(children, timeout=seconds)
    for process in alive:
        process.kill()
    return len(alive)


def count_tracebacks(*logs: Path) -> int:
    return sum(log.read_text().count("Traceback") for log in logs if log.exists())


def _begin(
    log: str, environment: dict[str, str], target: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    os.setsid()
    os.environ.update(environment)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    target(*arguments)
