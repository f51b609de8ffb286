"""Optuna's dashboard in this process, for this machine alone.

It has no login and does not look at whom it answers, so it listens on loopback only, and what asks for
another host's name or comes from another page (DNS rebinding, cross-site requests) is refused.
"""

from __future__ import annotations

import threading
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna
from optuna_dashboard import wsgi

from ablate.system.process.own_pages import own_pages_only
from ablate.system.process.ports import HOST, on_a_free_port

DEFAULT_PORT = 8080


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    allow_reuse_address = False  # two dashboards on one port would take turns at answering


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        """A line for each request helps nobody."""


def serve(storage: optuna.storages.BaseStorage, port: int) -> str:
    """Show a storage on a port, or on the next one that is free; returns the address.

    It ends with this process.

    Raises:
        OptionError: there is no free port.
    """

    def start(candidate: int) -> str:
        app = own_pages_only(wsgi(storage), candidate)
        server = make_server(HOST, candidate, app, _Server, _Silent)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://{HOST}:{candidate}/"

    return on_a_free_port(port, start)
