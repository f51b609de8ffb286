"""Jobs as tasks of Ray, on this machine or on a cluster. Ray places them; nothing is tried again by it."""

from __future__ import annotations

import math
import os
import pickle
import sys
from typing import Any

from ablate.errors import DeviceError
from ablate.execute.base import Died, Done, Executor, Job
from ablate.execute.ray_cluster import connect
from ablate.execute.ray_task import Terms, Unfit, work
from ablate.system.files.folders import VARIABLES
from ablate.system.files.state import REHASH
from ablate.system.hardware.gpus import VISIBLE
from ablate.system.messages.command_line import without_password
from ablate.system.messages.text import one_line
from ablate.system.software.environment import PROJECT, package_version
from ablate.system.software.imports import ALLOWED
from ablate.system.version import VERSION

HERE = f"{PROJECT} {VERSION}"
NO_ABLATE = "No module named 'ablate"
TRAVELLING = (ALLOWED, REHASH, VARIABLES["cache"])
"""Variables that workers have as this process has them."""
SLIVER = 0.001
"""Of the resource that stands for a kind of GPU: enough to be placed by it."""


def jobs_on_a_gpu(share: float) -> int:
    """How many jobs one GPU has room for: three of a third, though 3 × 0.3333 is less than 1."""
    return math.floor(1 / share + 1e-9)


class RayExecutor(Executor):
    """Each job is a task with one CPU, and with one GPU of this node's kind where `gpus` are asked for, or a
    share of one.

    `workers` tasks at a time, by default as many as the cluster has devices. Tasks for which there is no
    room yet wait in Ray, where its autoscaler sees them.
    """

    queues = True

    def __init__(
        self,
        workers: int | None,
        *,
        here: int,
        gpus: int = 0,
        address: str | None = None,
        gpu_share: float = 1,
    ) -> None:
        on_each = jobs_on_a_gpu(gpu_share) if gpus else 1
        self._cluster = connect(address, workers or here * on_each, gpus)
        self._ray = self._cluster.ray
        kind = self._cluster.gpu_kind() if gpus else None
        devices = here if address is None else max(1, self._cluster.devices(kind))
        self.slots = workers or devices * on_each
        self._streams: dict[str, Any] = {}
        self._terms = Terms(
            command=tuple(map(without_password, sys.argv)),
            folder=os.getcwd(),
            path=tuple(sys.path),
            variables=_variables(on_gpu=bool(gpus)),
            torch=package_version("torch"),
            head=self._ray.get_runtime_context().gcs_address,
        )
        self._task = self._ray.remote(
            num_returns="streaming",
            max_retries=0,
            num_cpus=1,
            num_gpus=gpu_share if gpus else 0,
            resources={kind: SLIVER} if kind else {},
        )(work)

    @property
    def free(self) -> int:
        return self.slots - len(self._streams)

    def submit(self, job_id: str, job: Job) -> None:
        if not self.free:
            raise RuntimeError("no slot is free")
        self._streams[job_id] = self._task.remote(pickle.dumps(job), self._terms)

    def wait(self, timeout_seconds: float) -> list[tuple[str, Any]]:
        events: list[tuple[str, Any]] = []
        ready = self._ready(timeout_seconds, at_most=1)
        while ready:
            for job_id in ready:
                events.append((job_id, self._next(job_id)))
            ready = self._ready(0, at_most=len(self._streams))
        return events

    def cancel(self, job_id: str) -> None:
        stream = self._streams.pop(job_id, None)
        if stream is not None:
            self._ray.cancel(stream, force=True)

    def close(self) -> None:
        for job_id in list(self._streams):
            self.cancel(job_id)
        self._cluster.close()

    def _ready(self, timeout_seconds: float, at_most: int) -> list[str]:
        """Jobs that have an event now; waits for as many as that."""
        if not self._streams:
            return []
        jobs = {id(stream): job_id for job_id, stream in self._streams.items()}
        ready, _ = self._ray.wait(
            list(self._streams.values()),
            num_returns=at_most,
            timeout=timeout_seconds,
            fetch_local=False,
        )
        return [jobs[id(stream)] for stream in ready]

    def _next(self, job_id: str) -> Any:
        """The next event of a job that has one; the last one frees its slot.

        Raises:
            DeviceError: its node has not what the driver has.
        """
        event = self._received(job_id)
        if isinstance(event, Unfit):
            self.cancel(job_id)
            raise DeviceError(event.reason)
        if isinstance(event, Died) or (isinstance(event, Done) and event.spent):
            self.cancel(job_id)  # its process waits for that
        elif isinstance(event, Done):
            del self._streams[job_id]
        return event

    def _received(self, job_id: str) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(next(self._streams[job_id]))
        except StopIteration:
            return Died(None, "Ray ended its task without a word")
        except errors.RayTaskError as error:  # as when an event cannot be pickled
            if NO_ABLATE in str(error):
                raise DeviceError(
                    f"a node of Ray cannot import ablate: install {HERE} there"
                ) from error
            return Done(str(error))
        except errors.RayError as error:
            with_node = isinstance(error, errors.NodeDiedError)
            return Died(None, f"Ray lost it: {one_line(error)}", with_node)


def _variables(*, on_gpu: bool) -> dict[str, str]:
    """What is set in a worker before anything is loaded there; without a GPU of its own it sees none."""
    given = {name: os.environ[name] for name in TRAVELLING if name in os.environ}
    return given if on_gpu else {**given, VISIBLE: ""}
