"""Who works on a run: a process on a machine, and whether it can be seen to be gone."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, by machine (its name and boot), number and start; numbers alone are reused."""

    host: str
    pid: int
    started: float

    def is_here(self) -> bool:
        """Whether the process was started on this machine, so that we can see whether it lives."""
        return self.host == host_id()

    def is_gone(self) -> bool:
        """True if this machine can tell that the process has ended; False if not, or not from here."""
        if not self.is_here():
            return False
        try:
            process = psutil.Process(self.pid)
            # Within a second: start times are counted from boot, and the clock may be set.
            alive = abs(process.create_time() - self.started) < 1
            return not alive or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False


def current_owner() -> Owner:
    """This process."""
    process = psutil.Process()
    return Owner(host_id(), process.pid, process.create_time())


def host_id() -> str:
    """Where process numbers mean the same: this machine, this boot, this container.

    After a reboot no owner of before is alive; in another container a number is another process.
    """
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    since = boot.read_text().strip() if boot.is_file() else f"{psutil.boot_time():.0f}"
    inside = os.readlink(namespace) if namespace.is_symlink() else ""
    return f"{socket.gethostname()}/{since}/{inside}"
