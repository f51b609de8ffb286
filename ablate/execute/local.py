"""Jobs in worker processes on this machine, each on a GPU of its own where there are several. Workers stay
alive from job to job and die with us.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from ablate.execute.base import Died, Done, Executor, Job, ended_by, print_to_stderr
from ablate.system.hardware.gpus import VISIBLE
from ablate.system.process.signals import ENDING, whole

SAFE_PATH = "PYTHONSAFEPATH"
"""Python looks into the current folder first in what it starts with `-c`: as workers and the helper that
watches them start, a folder `multiprocessing/` beside a study would be imported."""
# Never fork: a forked child would share open database connections and torch's threads.
_CONTEXT = multiprocessing.get_context("spawn")


@dataclass
class _Worker:
    place: int
    process: BaseProcess
    pipe: Connection
    job_id: str | None = None


class LocalExecutor(Executor):
    """`workers` processes, started when first needed; a lost one is replaced by the next job, on its device.

    Of several `gpus` each process sees one alone, in turn: the first as many workers as there are GPUs have
    one each. With none or one of them, processes see what this one sees.
    """

    def __init__(self, workers: int, gpus: Sequence[str] = ()) -> None:
        self.slots = workers
        self._gpus = gpus
        self._workers: list[_Worker] = []

    @property
    def free(self) -> int:
        return self.slots - sum(worker.job_id is not None for worker in self._workers)

    def submit(self, job_id: str, job: Job) -> None:
        if not self.free:
            raise RuntimeError("no slot is free")
        worker = next((w for w in self._workers if w.job_id is None), None) or self._start()
        try:
            worker.pipe.send(job)
        except (BrokenPipeError, ConnectionResetError):
            # It died while idle: no job is lost, another worker takes this one.
            self._remove(worker)
            self.submit(job_id, job)
            return
        worker.job_id = job_id

    def wait(self, timeout_seconds: float) -> list[tuple[str, Any]]:
        busy = {worker.pipe: worker for worker in self._workers if worker.job_id is not None}
        events: list[tuple[str, Any]] = []
        for pipe in wait(list(busy), timeout_seconds) if busy else []:
            worker = busy[pipe]  # type: ignore[index]
            events.extend(self._drain(worker))
        return events

    def cancel(self, job_id: str) -> None:
        for worker in [w for w in self._workers if w.job_id == job_id]:
            self._remove(worker)

    def close(self) -> None:
        for worker in list(self._workers):
            self._remove(worker)

    def _start(self) -> _Worker:
        taken = {worker.place for worker in self._workers}
        place = next(place for place in range(self.slots) if place not in taken)
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_work, args=(theirs, os.getpid()), daemon=True)
        worker = _Worker(place, process, ours)
        # A process that nobody knows of is never ended, and Python waits for it when it ends itself.
        with whole():
            # As it is started with, so that it stands there before anything can load torch.
            with _environment({SAFE_PATH: "1", **self._seen_from(place)}):
                process.start()
            theirs.close()
            self._workers.append(worker)
        return worker

    def _seen_from(self, place: int) -> dict[str, str]:
        """The variable that leaves a worker one GPU."""
        several = len(self._gpus) > 1
        return {VISIBLE: self._gpus[place % len(self._gpus)]} if several else {}

    def _drain(self, worker: _Worker) -> list[tuple[str, Any]]:
        """Everything that lies in a worker's pipe; a closed pipe means that the process is gone."""
        job_id, events = str(worker.job_id), []
        try:
            while worker.job_id is not None and worker.pipe.poll():
                event = worker.pipe.recv()
                events.append((job_id, event))
                if isinstance(event, Done | Died):
                    worker.job_id = None
                    if isinstance(event, Died) or event.spent:
                        self._remove(worker)
        except (EOFError, ConnectionResetError):
            worker.process.join(timeout=5)
            events.append((job_id, Died(worker.process.exitcode)))
            self._remove(worker)
        return events

    def _remove(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Variables for processes that are started meanwhile."""
    earlier = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in earlier.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _work(pipe: Connection, parent: int) -> None:
    """A worker's life: take a job, send its events, take the next one, until the pipe closes."""
    for number in ENDING:  # a terminal or a job scheduler sends them to all: the driver's to handle
        signal.signal(number, signal.SIG_IGN)
    print_to_stderr()
    _die_with(parent)
    while True:
        try:
            job: Job = pipe.recv()
        except EOFError:
            return
        try:
            for event in job():
                pipe.send(event)
            pipe.send(Done())
        except BrokenPipeError:
            return
        except Exception as error:
            last = ended_by(error)
            pipe.send(last)
            if isinstance(last, Died) or last.spent:
                os._exit(1)  # not by the usual way: what a broken device is asked to free may hang


def _die_with(parent: int) -> None:
    """End this process when the driver ends, however it ends: no worker outlives its driver."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it died before we asked
    process = multiprocessing.parent_process()
    if process is not None:
        # For systems without the death signal, and for a driver whose starting thread ended.
        threading.Thread(target=_exit_after, args=(process.sentinel,), daemon=True).start()


def _exit_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
