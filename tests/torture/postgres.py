"""A PostgreSQL server of our own, in a folder, to be stalled and restarted."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.torture.figures import CannotBeDone

DATABASE = "torture"


@dataclass(frozen=True)
class Server:
    """A running server; its processes belong to an unprivileged user."""

    folder: Path
    programs: Path
    port: int
    user: str

    @property
    def url(self) -> str:
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/{DATABASE}"

    def start(self) -> None:
        # fsync stays on: what a restart loses is what this is about.
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        log = str(self.folder / "log")
        self.run("pg_ctl", "start", "-w", "-D", self._data, "-l", log, "-o", options)

    def stop(self, mode: str = "fast") -> None:
        self.run("pg_ctl", "stop", "-w", "-m", mode, "-D", self._data)

    def restart(self) -> None:
        """As after a crash: whoever is connected is cut off in the middle of whatever it does."""
        self.stop("immediate")
        self.start()

    def stall(self) -> None:
        for process in self._processes():
            process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)

    def run(self, program: str, *arguments: str) -> None:
        """Run one of the server's programs as its user."""
        user = self.user if os.getuid() == 0 else None
        subprocess.run(
            [self.programs / program, *arguments],
            user=user, check=True, capture_output=True, cwd=self.folder, timeout=120,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _processes(self) -> list[psutil.Process]:
        number = int(Path(self._data, "postmaster.pid").read_text().split()[0])
        first = psutil.Process(number)
        return [first, *first.children(recursive=True)]


@contextmanager
def server() -> Iterator[Server]:
    """A new server for as long as the context lasts.

    Raises:
        CannotBeDone: PostgreSQL is not installed, or there is no unprivileged user to run it.
    """
    programs = _programs()
    user = _user()
    # Not below the test's folder: the other user must be able to get there.
    folder = Path(tempfile.mkdtemp(prefix="torture-postgres-"))
    if os.getuid() == 0:
        shutil.chown(folder, user)
    made = Server(folder, programs, _free_port(), user)
    try:
        made.run(
            "initdb",
            "-D",
            str(folder / "data"),
            "-U",
            user,
            "--auth=trust",
            "-E",
            "UTF8",
            "--no-locale",
        )
        made.start()
        made.run("createdb", "-h", "127.0.0.1", "-p", str(made.port), "-U", user, DATABASE)
        yield made
    finally:
        with suppress(Exception):
            made.go_on()
        with suppress(subprocess.CalledProcessError):
            made.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if found:
        return found[-1].parent
    if on_path is None:
        raise CannotBeDone("PostgreSQL is not installed")
    return Path(on_path).resolve().parent


def _user() -> str:
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid()).pw_name
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise CannotBeDone("there is no unprivileged user to run PostgreSQL")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
