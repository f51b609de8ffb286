"""TensorBoard itself, in a thread of this process, for this machine alone."""

from __future__ import annotations

import argparse
import contextlib
import io
import socket
from pathlib import Path

from tensorboard import program
from tensorboard.program import TensorBoardPortInUseError

from ablate.system.process.own_pages import Application, own_pages_only
from ablate.system.process.ports import HOST, on_a_free_port

DEFAULT_PORT = 6006
RELOAD_SECONDS = 5
FRAMED = ("/data/plugin/", "/data/plugin_entry.html")
"""What TensorBoard shows in frames of its own pages: plugins that are installed beside it."""


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

    def guarded(app: Application, flags: argparse.Namespace) -> program.WerkzeugServer:
        return program.WerkzeugServer(own_pages_only(app, port, FRAMED), flags)

    board = program.TensorBoard(server_class=guarded)
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
