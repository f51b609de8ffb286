"""TensorBoard itself, in a thread of this process, for this machine alone."""

from __future__ import annotations

import contextlib
import io
import socket
from pathlib import Path

from tensorboard import program
from tensorboard.program import TensorBoardPortInUseError

from ablate.system.ports import HOST, on_a_free_port

DEFAULT_PORT = 6006
RELOAD_SECONDS = 5


def serve(logdir: Path, port: int) -> str:
    """Start TensorBoard on a port, or on the next one that is free; returns its address.

    It ends with this process.

    Raises:
        OptionError: there is no free port.
    """
    return on_a_free_port(port, lambda candidate: _launch(logdir, candidate))


def _launch(logdir: Path, port: int) -> str:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tried.bind((HOST, port))
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
        try:
            return str(board.launch())
        except TensorBoardPortInUseError as error:
            raise OSError(str(error)) from None  # taken between our try and its own
