"""A PostgreSQL server for tests: in a folder of its own, on a Unix socket, gone at the end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

USERS = ("postgres", "nobody")
"""Who runs the server when tests run as root, which PostgreSQL refuses."""
QUICK = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "listen_addresses": "",
}
SERVER_USER = "ablate"


class Server:
    """A server in a folder; it ends with this process, however that ends."""

    def __init__(self, folder: Path, command: Sequence[str | Path]) -> None:
        self.folder, self._command = folder, command
        self.start()

    def url(self, name: str) -> str:
        return f"postgresql://{SERVER_USER}@/{name}?host={self.folder}"

    def create(self, name: str) -> str:
        """Make a database; returns its URL."""
        self.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def drop(self, name: str) -> None:
        self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def execute(self, statement: str) -> None:
        """One statement outside a transaction, as the server's owner."""
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, cwd="/")
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """As a crash does: whoever is connected is cut off in the middle of whatever it does."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)

    def restart(self) -> None:
        self.stop()
        self.start()

    def stall(self) -> None:
        """Let no process of it do anything."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        with suppress(psutil.NoSuchProcess):
            first = psutil.Process(self._process.pid)
            for process in (*first.children(recursive=True), first):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)

    def _wait(self, seconds: float = 30) -> None:
        import psycopg

        end = time.monotonic() + seconds
        while True:
            try:
                self.execute("SELECT 1")
                return
            except psycopg.OperationalError:
                log = (self.folder / "log").read_text(errors="replace")
                assert self._process.poll() is None, log
                assert time.monotonic() < end, log
                time.sleep(0.05)


def missing() -> str | None:
    """Why no server can be started here; None if one can."""
    if _programs() is None:
        return "PostgreSQL is not installed"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "setpriv, which lets root start PostgreSQL, is not installed"
    return None


@contextmanager
def running_server(settings: dict[str, str] | None = None) -> Iterator[Server]:
    """A server for as long as the context lasts; it ends with this process, however that ends."""
    programs = _programs()
    assert programs is not None
    with tempfile.TemporaryDirectory(prefix="ablate-pg-", dir="/tmp") as name:
        folder = Path(name)
        before = _unprivileged(folder)
        options = ["-U", SERVER_USER, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        subprocess.run(
            [*before, programs / "initdb", "-D", folder / "data", *options],
            check=True, capture_output=True, cwd="/",
        )  # fmt: skip
        flags = [f"-c{key}={value}" for key, value in (QUICK | (settings or {})).items()]
        command = [programs / "postgres", "-D", folder / "data", "-k", folder, *flags]
        server = Server(folder, [*before, *command])
        try:
            yield server
        finally:
            server.go_on()
            server.stop()


def _programs() -> Path | None:
    """The folder of the newest installed server's programs."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)
    found = [folder for folder in folders if (folder / "initdb").exists()]
    on_path = shutil.which("initdb")
    return found[-1] if found else Path(on_path).resolve().parent if on_path else None


def _unprivileged(folder: Path) -> list[str]:
    """What to put before a command so that the server's user runs it, who gets the folder."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0:
        return [setpriv, "--pdeathsig", "QUIT"] if setpriv else []
    import pwd

    user = next(entry for entry in pwd.getpwall() if entry.pw_name in USERS)
    os.chown(folder, user.pw_uid, user.pw_gid)
    ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return [str(setpriv), *ids, "--pdeathsig", "QUIT"]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server; where it is missing the test is skipped, but fails in CI, which promises it."""
    why = missing()
    if why is not None and os.environ.get("CI") == "true":
        pytest.fail(why)
    if why is not None:
        pytest.skip(why)
    with running_server() as server:
        yield server
