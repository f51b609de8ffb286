"""TensorBoard itself, in a thread of this process, for this machine alone."""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Iterator
from pathlib import Path

from tensorboard import program
from tensorboard.program import TensorBoardPortInUseError

from ablate.errors import OptionError

HOST = "127.0.0.1"
DEFAULT_PORT = 6006
PORTS_TRIED = 100
RELOAD_SECONDS = 5


def serve(logdir: Path, port: int) -> str:
    """Start TensorBoard on a port, or on the next one that is free; returns its address.

    It ends with this process.

    Raises:
        OptionError: there is no free port.
    """
    for candidate in _free_ports(port):
        # Taken between our look and its own: the next one.
        with contextlib.suppress(TensorBoardPortInUseError):
            return _launch(logdir, candidate)
    last = min(port + PORTS_TRIED, 65536) - 1
    raise OptionError(f"--port {port}: no port from {port} to {last} is free; give another one")


def _launch(logdir: Path, port: int) -> str:
    board = program.TensorBoard()
    board.configure(
        argv=[
            "ablate", "--logdir", str(logdir), "--host", HOST, "--port", str(port),
            "--reload_interval", str(RELOAD_SECONDS),
            # Of longer runs it would leave out steps.
            "--samples_per_plugin", "scalars=100000",
        ]
    )  # fmt: skip
    # It advertises its data server on stderr at every start.
    with contextlib.redirect_stderr(io.StringIO()):
        return str(board.launch())


def _free_ports(first: int) -> Iterator[int]:
    for port in range(first, min(first + PORTS_TRIED, 65536)):
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((HOST, port))
            except OSError:
                continue
        yield port
