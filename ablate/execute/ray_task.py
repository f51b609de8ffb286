"""What a worker of Ray does with a job. On its node neither torch nor the job is loaded before it is
known that the node fits.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

from ablate.execute.base import Died, Done, Job, ended_by, print_to_stderr
from ablate.execute.ray_cluster import asked
from ablate.system.software.environment import package_version
from ablate.system.software.imports import ALLOWED
from ablate.system.version import VERSION

ASKED_EACH_SECONDS, SILENT_SECONDS = 3.0, 18.0
"""How often the head is asked, and how long it may say nothing: well within the lease of a run."""
SILENCE = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
UNTIL_ENDED_SECONDS = 60.0
"""How long a process that takes no other job waits for the driver to end it, once its last event is sent."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """A node that must not run this driver's jobs, and what to do about it."""

    reason: str


@dataclass(frozen=True)
class Terms:
    """What a node must be like to compute what the driver would: the same versions, its folder and `path` of
    modules where there are such, its variables of the environment, and the packages that a study may import.
    Results name the driver's `command`. `head` is where the cluster is asked whether it is there.
    """

    command: tuple[str, ...]
    folder: str
    path: tuple[str, ...]
    variables: Mapping[str, str]
    ablate: str = VERSION
    torch: str | None = None
    head: str | None = None

    def accept(self) -> str | None:
        """Set this process up, or say why it cannot be."""
        if self.head is not None:
            _end_without(self.head)
        sys.argv = list(self.command)
        os.environ.update(self.variables)
        if os.path.isdir(self.folder):
            os.chdir(self.folder)
        sys.path += [each for each in self.path if each not in sys.path]
        found = {"ablate": VERSION, "torch": _torch_version()}
        wanted = {"ablate": self.ablate, "torch": self.torch}
        for name, version in wanted.items():
            if found[name] != version:
                return (
                    f"has {name} {found[name]}, and this driver {version}: install the same there"
                )
        missing = [name for name in self._packages() if not _is_there(name)]
        if missing:
            return (
                f"lacks {', '.join(missing)}, which the study imports (--allow-import): install it there, "
                f"or start where all nodes see the same folder (here {self.folder})"
            )
        return None

    def _packages(self) -> list[str]:
        allowed = self.variables.get(ALLOWED, "").split(",")
        return sorted({name.partition(".")[0] for name in allowed if name})


def work(packed: bytes, terms: Terms) -> Iterator[Any]:
    """The events of a pickled job and its end, or that this node is unfit for it."""
    print_to_stderr()
    reason = terms.accept()
    if reason is not None:
        yield Unfit(f"the Ray node {os.uname().nodename} {reason}")
        return
    try:
        job: Job = pickle.loads(packed)  # noqa: S301 - by our own driver, through its cluster
        # Not `yield from`: Ray sends into its generators, which other iterators need not take.
        for event in job():  # noqa: UP028
            yield event
        last: Done | Died = Done()
    except Exception as error:
        last = ended_by(error)
    yield last
    if isinstance(last, Died) or last.spent:
        time.sleep(UNTIL_ENDED_SECONDS)  # ended now, the event could be lost with it
        os._exit(1)


@cache
def _torch_version() -> str | None:
    """Looked up once for all tasks of this process: that takes longer than a short one."""
    return package_version("torch")


@cache
def _end_without(head: str) -> None:
    """End this process when the head of its cluster is silent: the driver that claimed the run is then gone
    too or will be, and it would be trained for nobody. Ray itself waits for a minute, longer than a lease.
    """
    threading.Thread(target=_watch, args=(head,), daemon=True).start()


def _watch(head: str) -> None:
    heard = time.monotonic()
    while True:
        time.sleep(ASKED_EACH_SECONDS)
        if asked(head, ASKED_EACH_SECONDS) not in SILENCE:
            heard = time.monotonic()
        elif time.monotonic() - heard > SILENT_SECONDS:
            os._exit(1)


def _is_there(package: str) -> bool:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)  # as `import_object` looks for it
    return find_spec(package) is not None
